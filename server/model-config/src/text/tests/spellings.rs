use std::collections::HashMap;

use nerite_proto::inference::model_config::SchedulingChoice;
use nerite_proto::inference::model_instance_group::Kind;
use nerite_proto::inference::model_sequence_batching::{StrategyChoice, StrategyDirect};
use nerite_proto::inference::model_version_policy::{All, Latest, PolicyChoice, Specific};
use nerite_proto::inference::model_warmup::input::InputDataType;
use nerite_proto::inference::{
    DataType, ModelConfig, ModelDynamicBatching, ModelInput, ModelInstanceGroup, ModelOutput, ModelParameter,
    ModelSequenceBatching, ModelVersionPolicy, ModelWarmup, model_warmup,
};

use crate::text::parse_model_config;

/// Every text must mean that.
#[track_caller]
fn all_mean<T: AsRef<[u8]>>(expected: &ModelConfig, texts: impl IntoIterator<Item = T>) {
    for text in texts {
        let shown = String::from_utf8_lossy(text.as_ref()).into_owned();
        match parse_model_config(text, "config.pbtxt") {
            Ok(config) => assert_eq!(config, *expected, "{shown}"),
            Err(error) => panic!("{shown}: {error}"),
        }
    }
}

fn named(name: &str) -> ModelConfig {
    ModelConfig { name: name.into(), ..Default::default() }
}

fn with_inputs(input: Vec<ModelInput>) -> ModelConfig {
    ModelConfig { input, ..Default::default() }
}

fn input(name: &str, dims: &[i64]) -> ModelInput {
    ModelInput { name: name.into(), dims: dims.into(), ..Default::default() }
}

#[test]
fn an_empty_text_is_an_empty_configuration() {
    all_mean(
        &ModelConfig::default(),
        ["", " \t\r\n\u{b}\u{c}", "# only a comment", "input []", "input: [ ]"],
    );
    all_mean(&ModelConfig::default(), [&b"# not UTF-8: \xe9\n"[..], b"\xef\xbb\xbf"]);
}

#[test]
fn a_scalar_field_has_a_colon_and_may_be_followed_by_a_separator() {
    let expected = ModelConfig { max_batch_size: 8, ..named("m") };
    all_mean(
        &expected,
        [
            "name: \"m\" max_batch_size: 8",
            "name:\"m\"max_batch_size:8",
            "name : 'm'; max_batch_size : 8;",
            "name: \"m\", max_batch_size: 8,",
            "name\n:\n\"m\" # the name\n# and the size\nmax_batch_size: 8",
        ],
    );
}

#[test]
fn strings_in_a_row_are_one_and_escapes_are_bytes() {
    all_mean(
        &named("abcd"),
        ["name: \"ab\" 'cd'", "name: 'a'\"b\"\n'c' # and\n\"d\"", "name: \"\\x61\\142\\u0063d\""],
    );
    all_mean(
        &named("\u{7}\u{8}\u{c}\n\r\t\u{b}\\?'\"\0"),
        ["name: \"\\a\\b\\f\\n\\r\\t\\v\\\\\\?\\'\\\"\\0\"", "name: '\\a\\b\\f\\n\\r\\t\\v\\\\?\\'\"\\000'"],
    );
    all_mean(
        &named("é😀"),
        [
            "name: \"é😀\"",
            "name: \"\\303\\251\\U0001F600\"",
            "name: \"\\xc3\\xa9\\ud83d\\ude00\"",
            "name: '\\u00e9\\xF0\\x9F' \"\\230\\200\"",
        ],
    );
    all_mean(&named("# no { comment }"), ["name: \"# no { comment }\""]);
}

#[test]
fn integers_are_decimal_octal_or_hexadecimal() {
    let size = |max_batch_size| ModelConfig { max_batch_size, ..Default::default() };
    all_mean(
        &size(16),
        ["max_batch_size: 16", "max_batch_size: 0x10", "max_batch_size: 0X10", "max_batch_size: 020"],
    );
    all_mean(
        &size(-5),
        ["max_batch_size: -5", "max_batch_size: - 5", "max_batch_size: -0x5", "max_batch_size: - # c\n 05"],
    );
    all_mean(&size(i32::MIN), ["max_batch_size: -2147483648", "max_batch_size: -0x80000000"]);
    all_mean(
        &with_inputs(vec![input("", &[i64::MAX, i64::MIN])]),
        ["input { dims: [ 9223372036854775807, -9223372036854775808 ] }"],
    );
}

#[test]
fn messages_are_in_braces_or_angles_with_or_without_a_colon() {
    all_mean(
        &with_inputs(vec![input("a", &[])]),
        [
            "input { name: \"a\" }",
            "input: { name: \"a\" }",
            "input < name: \"a\" >",
            "input: < name: \"a\" >;",
            "input{name:\"a\"},",
            "input [ { name: \"a\" } ]",
            "input: [ < name: \"a\", > ]",
        ],
    );
}

#[test]
fn repeated_fields_are_lists_or_repetitions_or_both() {
    all_mean(
        &with_inputs(vec![input("a", &[3, 224, -1]), input("b", &[1])]),
        [
            "input [ { name: \"a\" dims: [ 3, 224, -1 ] }, { name: \"b\" dims: [ 1 ] } ]",
            "input { name: \"a\" dims: 3 dims: 224 dims: -1 } input { name: \"b\" dims: 1 }",
            "input: [ { dims: [3] dims: 224; dims: [], dims: [ -1 ] name: 'a' } ] input < name: \"b\", dims: 1 >",
            "input { name: \"a\" dims: [ 3, 224 ] dims: [ -1 ] } input [ ] input [ { name: \"b\" dims: [1] } ]",
        ],
    );
}

#[test]
fn booleans_and_enums_have_several_names() {
    let expected = with_inputs(vec![ModelInput {
        data_type: DataType::TypeFp32.into(),
        optional: true,
        allow_ragged_batch: false,
        ..Default::default()
    }]);
    for yes in ["true", "True", "t", "1", "0x1", "01"] {
        all_mean(&expected, [format!("input {{ data_type: TYPE_FP32 optional: {yes} }}")]);
    }
    for no in ["false", "False", "f", "0", "0x0", "00"] {
        all_mean(&expected, [format!("input {{ data_type: 11 optional: 1 allow_ragged_batch: {no} }}")]);
    }
    let unknown = with_inputs(vec![ModelInput { data_type: 99, ..Default::default() }]);
    all_mean(&unknown, ["input { data_type: 99 }"]);
}

#[test]
fn floats_may_lack_a_point_or_a_digit_and_have_a_suffix() {
    let utilization = |minimum_slot_utilization| ModelConfig {
        scheduling_choice: Some(SchedulingChoice::SequenceBatching(ModelSequenceBatching {
            strategy_choice: Some(StrategyChoice::Direct(StrategyDirect {
                minimum_slot_utilization,
                ..Default::default()
            })),
            ..Default::default()
        })),
        ..Default::default()
    };
    let table = [
        (0.5, &["0.5", ".5", "0.5f", "5e-1", "5E-1F", "0.05e+1"][..]),
        (2.0, &["2", "2.", "2f", "2.0", "20e-1"]),
        (0.1, &["0.1", "0.1f"]),
        (0.0, &["0", "0.0", ".0f"]),
        (-1.0, &["-1", "- 1.0"]),
        (f32::INFINITY, &["inf", "Infinity", "1e400", "INF"]),
        (f32::NEG_INFINITY, &["-inf", "-infinity"]),
    ];
    for (value, spellings) in table {
        let expected = utilization(value);
        all_mean(
            &expected,
            spellings
                .iter()
                .map(|s| format!("sequence_batching {{ direct {{ minimum_slot_utilization: {s} }} }}")),
        );
    }
    let text = "sequence_batching { direct { minimum_slot_utilization: nan } }";
    assert!(format!("{:?}", parse_model_config(text, "").unwrap()).contains("NaN"));
}

#[test]
fn maps_are_repeated_entries_of_key_and_value() {
    let parameter = |value: &str| ModelParameter { string_value: value.into() };
    let expected = ModelConfig {
        parameters: HashMap::from([("a".into(), parameter("1")), ("b".into(), parameter(""))]),
        ..Default::default()
    };
    all_mean(
        &expected,
        [
            "parameters { key: \"a\" value { string_value: \"1\" } } parameters { key: \"b\" value { } }",
            "parameters: { key: \"a\", value: { string_value: \"1\" } }; parameters: { key: \"b\" }",
            "parameters [ { key: \"a\" value: < string_value: \"1\" > }, < value { } key: \"b\" > ]",
            "parameters { key: \"a\" value { string_value: \"0\" } } parameters { key: \"b\" }
             parameters { key: \"a\" value { string_value: \"1\" } }",
        ],
    );
    let tags = ModelConfig { metric_tags: HashMap::from([("k".into(), "v".into())]), ..Default::default() };
    all_mean(
        &tags,
        ["metric_tags { key: \"k\" value: \"v\" }", "metric_tags: [ { key: 'k', value: 'v'; } ]"],
    );
}

#[test]
fn members_of_a_oneof_are_fields_like_others() {
    let policy = |choice| ModelConfig {
        version_policy: Some(ModelVersionPolicy { policy_choice: Some(choice) }),
        ..Default::default()
    };
    all_mean(
        &policy(PolicyChoice::All(All {})),
        ["version_policy: { all { } }", "version_policy < all: {} >"],
    );
    all_mean(
        &policy(PolicyChoice::Latest(Latest { num_versions: 2 })),
        ["version_policy { latest: { num_versions: 2 } }"],
    );
    all_mean(
        &policy(PolicyChoice::Specific(Specific { versions: vec![1, 3] })),
        [
            "version_policy: { specific: { versions: [ 1, 3 ] } }",
            "version_policy { specific { versions: 1 versions: 3 } }",
        ],
    );
    let batching = SchedulingChoice::DynamicBatching(ModelDynamicBatching::default());
    let expected = ModelConfig { scheduling_choice: Some(batching), ..Default::default() };
    all_mean(&expected, ["dynamic_batching { }", "dynamic_batching: {}", "dynamic_batching <>"]);

    let warm =
        model_warmup::Input { input_data_type: Some(InputDataType::ZeroData(false)), ..Default::default() };
    let warmup = ModelWarmup { inputs: HashMap::from([("x".into(), warm)]), ..Default::default() };
    let expected = ModelConfig { model_warmup: vec![warmup], ..Default::default() };
    all_mean(&expected, ["model_warmup { inputs { key: 'x' value { zero_data: false } } }"]);
}

#[test]
fn a_field_set_to_its_default_may_be_set_again() {
    // So it is in Triton's own parser, which cannot tell the first from none.
    all_mean(&named("m"), ["name: \"\" name: \"m\""]);
}

#[test]
fn a_whole_configuration_as_it_is_usually_written() {
    let expected = ModelConfig {
        name: "resnet50".into(),
        platform: "onnxruntime_onnx".into(),
        max_batch_size: 8,
        input: vec![ModelInput {
            data_type: DataType::TypeFp32.into(),
            format: 2,
            ..input("input", &[3, 224, 224])
        }],
        output: vec![ModelOutput {
            name: "output".into(),
            data_type: DataType::TypeFp32.into(),
            dims: vec![1000],
            label_filename: "labels.txt".into(),
            ..Default::default()
        }],
        instance_group: vec![ModelInstanceGroup { count: 2, kind: Kind::Cpu.into(), ..Default::default() }],
        scheduling_choice: Some(SchedulingChoice::DynamicBatching(ModelDynamicBatching {
            preferred_batch_size: vec![4, 8],
            max_queue_delay_microseconds: 100,
            ..Default::default()
        })),
        ..Default::default()
    };
    let text = r#"
        # A comment.
        name: "resnet50"
        platform: "onnxruntime_onnx"
        max_batch_size : 8
        input [
          {
            name: "input"
            data_type: TYPE_FP32
            format: FORMAT_NCHW
            dims: [ 3, 224, 224 ]
          }
        ]
        output [
          {
            name: "output",
            data_type: TYPE_FP32,
            dims: [ 1000 ],
            label_filename: "labels.txt"
          }
        ]
        instance_group [ { count: 2 kind: KIND_CPU } ]
        dynamic_batching {
          preferred_batch_size: [ 4, 8 ]
          max_queue_delay_microseconds: 100
        }
    "#;
    all_mean(&expected, [text]);
}
