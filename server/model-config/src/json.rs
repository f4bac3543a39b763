//! Protobuf's JSON, in which a client sends a configuration.

use nerite_proto::inference::ModelConfig;
use prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_path_to_error::{Deserializer, Path, Segment, Track};

use crate::text::{MAX_TEXT_SIZE, MODEL_CONFIG};

/// The longest part of a text that an error repeats, in characters.
const SHOWN: usize = 40;

/// The longest problem that an error tells, in characters; it repeats names that the text gives.
const TOLD: usize = 200;

/// Why a text is no model configuration, and where: `input[0]: unrecognized field name 'dim' at line 1 column 17`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("expected at most {MAX_TEXT_SIZE} bytes, found {size}")]
    TooLarge { size: usize },
    #[error(
        "expected a JSON object with the fields of inference.ModelConfig, for instance {{\"max_batch_size\": 8}}, \
         found '{found}'"
    )]
    NoObject { found: String },
    #[error("{}{problem} at line {line} column {column}", place(.field))]
    Wrong {
        /// The path of the field, for instance `input[0].dims`; empty outside of any.
        field: String,
        problem: String,
        line: usize,
        column: usize,
    },
}

impl JsonError {
    fn wrong(field: &str, error: &serde_json::Error) -> JsonError {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let position = format!(" at line {line} column {column}");
        let problem = clipped(text.strip_suffix(&position).unwrap_or(&text), TOLD);
        JsonError::Wrong { field: clipped(field, TOLD), problem, line, column }
    }
}

fn place(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

/// On one line, and cut if it is long.
fn clipped(text: &str, most: usize) -> String {
    let printable = |character: char| if character.is_control() { ' ' } else { character };
    let mut clipped: String = text.chars().take(most).map(printable).collect();
    if text.chars().nth(most).is_some() {
        clipped.push('…');
    }
    clipped
}

/// Parses a model configuration in protobuf's JSON: fields by their own names or in camel case, numbers also as strings.
/// What is nested deeper than any configuration is an error.
pub(crate) fn parse_model_config(text: &str) -> Result<ModelConfig, JsonError> {
    if text.len() > MAX_TEXT_SIZE {
        return Err(JsonError::TooLarge { size: text.len() });
    }
    let found = text.trim_start();
    if !found.starts_with('{') {
        return Err(JsonError::NoObject { found: clipped(found, SHOWN) });
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = Track::new();
    let message = DynamicMessage::deserialize(MODEL_CONFIG.clone(), Deserializer::new(&mut json, &mut track));
    let message = message.map_err(|error| JsonError::wrong(&field(&track.path()), &error))?;
    json.end().map_err(|error| JsonError::wrong("", &error))?;
    Ok(message.transcode_to().expect("the description and the generated type are of the same contract"))
}

/// A model configuration as Triton's backends are given it: fields by their own names, every field there, 64-bit numbers
/// as numbers.
pub(crate) fn print(config: &ModelConfig) -> String {
    let message = DynamicMessage::decode(MODEL_CONFIG.clone(), &*config.encode_to_vec())
        .expect("the description and the generated type are of the same contract");
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false)
        .stringify_64_bit_integers(false);
    let mut json = serde_json::Serializer::new(Vec::new());
    message
        .serialize_with_options(&mut json, &options)
        .expect("a configuration has no field without a JSON form");
    String::from_utf8(json.into_inner()).expect("JSON is UTF-8")
}

/// The path as far as it is known.
fn field(path: &Path) -> String {
    let known = path.iter().take_while(|segment| !matches!(segment, Segment::Unknown));
    let mut field = String::new();
    for segment in known {
        match segment {
            Segment::Seq { .. } => field.push_str(&segment.to_string()),
            _ if field.is_empty() => field = segment.to_string(),
            _ => field.push_str(&format!(".{segment}")),
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use nerite_backend::Declaration;
    use nerite_core::model::ModelDraft;
    use nerite_core::repository::ModelDirectory;
    use proptest::prelude::*;
    use prost_reflect::SerializeOptions;

    use super::*;
    use crate::Options;
    use crate::draft::Draft;
    use crate::text::tests::random::Random;

    #[track_caller]
    fn wrong(text: &str, expected: &str) {
        let error = parse_model_config(text).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }

    #[test]
    fn every_spelling_of_a_field_and_a_number_means_the_same() {
        let expected = crate::parse_model_config(
            "name: \"m\" max_batch_size: 8 input { name: \"x\" data_type: TYPE_FP32 dims: [ -1, 4 ] }
             dynamic_batching { max_queue_delay_microseconds: 100 priority_levels: 2 default_priority_level: 1 }
             parameters { key: \"k\" value { string_value: \"v\" } }
             version_policy { specific { versions: 3 } }",
            "expected",
        )
        .unwrap();
        for text in [
            r#"{"name": "m", "max_batch_size": 8, "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4]}],
                "dynamic_batching": {"max_queue_delay_microseconds": 100, "priority_levels": 2,
                                     "default_priority_level": 1},
                "parameters": {"k": {"string_value": "v"}}, "version_policy": {"specific": {"versions": [3]}}}"#,
            r#" {"name": "m", "maxBatchSize": "8", "input": [{"name": "x", "dataType": 11, "dims": ["-1", "4"]}],
                "dynamicBatching": {"maxQueueDelayMicroseconds": "100", "priorityLevels": 2.0,
                                    "defaultPriorityLevel": "1"}, "output": null,
                "parameters": {"k": {"stringValue": "v"}}, "versionPolicy": {"specific": {"versions": ["3"]}}} "#,
        ] {
            assert_eq!(parse_model_config(text).unwrap(), expected, "{text}");
        }
        assert_eq!(parse_model_config("{}").unwrap(), ModelConfig::default());
    }

    #[test]
    fn a_configuration_is_printed_as_backends_read_it() {
        let text = "name: \"m\" max_batch_size: 8 input { name: \"x\" data_type: TYPE_FP32 dims: [ -1, 4 ] }
             parameters { key: \"k\" value { string_value: \"v\" } }";
        let config = crate::parse_model_config(text, "test").unwrap();
        let printed: serde_json::Value = serde_json::from_str(&print(&config)).unwrap();
        assert_eq!(printed["max_batch_size"], 8);
        assert_eq!(printed["input"][0]["data_type"], "TYPE_FP32");
        assert_eq!(printed["input"][0]["dims"], serde_json::json!([-1, 4]), "numbers, not strings");
        assert_eq!(printed["input"][0]["allow_ragged_batch"], false, "what is not set is there");
        assert_eq!(printed["parameters"]["k"]["string_value"], "v");
        assert_eq!(printed["output"], serde_json::json!([]));
        assert!(printed.get("dynamic_batching").is_none(), "but for what is absent: {printed}");
        assert_eq!(parse_model_config(&print(&config)).unwrap(), config);
    }

    #[test]
    fn an_error_says_where_and_what() {
        wrong(r#"{"max_batch": 8}"#, "unrecognized field name 'max_batch' at line 1 column ");
        wrong(
            "{\"input\": [{},\n {\"dim\": 8}]}",
            "input[1]: unrecognized field name 'dim' at line 2 column ",
        );
        wrong(
            r#"{"max_batch_size": "many"}"#,
            "max_batch_size: invalid digit found in string at line 1 column ",
        );
        wrong(
            r#"{"maxBatchSize": 4294967296}"#,
            "maxBatchSize: out of range integral type conversion attempted",
        );
        wrong(r#"{"max_batch_size": true}"#, "max_batch_size: invalid type: boolean `true`, expected ");
        wrong(r#"{"input": {"name": "x"}}"#, "input: invalid type: map, expected a list");
        wrong(r#"{"input": [{"dims": [1, 1.5]}]}"#, "input[0].dims[1]: expected integer value");
        wrong(r#"{"input": [{"data_type": "FP32"}]}"#, "input[0].data_type: unrecognized enum value 'FP32'");
        wrong(
            r#"{"dynamic_batching": {}, "sequence_batching": {}}"#,
            "multiple fields provided for oneof 'scheduling_choice'",
        );
        wrong(r#"{"name": "m""#, "EOF while parsing an object at line 1 column 12");
        wrong(r#"{"name": "m"} {}"#, "trailing characters at line 1 column 15");
        for text in ["", "8", "[]", "\"{}\"", "null", "name: \"m\""] {
            wrong(text, "expected a JSON object with the fields of inference.ModelConfig, ");
        }
        wrong(&" ".repeat(MAX_TEXT_SIZE + 1), "expected at most 4194304 bytes, found 4194305");
    }

    #[test]
    fn an_error_is_short_and_on_one_line_whatever_the_text() {
        let long = "name\\n".repeat(100_000);
        for text in [
            format!("{{\"{long}\": 1}}"),
            format!("{{\"parameters\": {{\"{long}\": 1}}}}"),
            format!("{{\"max_batch_size\": \"{long}\"}}"),
            format!("{{\"input\": \"{long}\"}}"),
            format!("\"{long}\n"),
        ] {
            let error = parse_model_config(&text).expect_err("it is wrong").to_string();
            assert!(error.len() < 600 && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let depth = MAX_TEXT_SIZE / 2 - 100;
        for start in ["{\"input\": ", "{\"x\": ", "{\"parameters\": {\"k\": ", "{\"metric_tags\": "] {
            for bracket in ["[", "{", "{\"\":"] {
                let text = format!("{start}{}", bracket.repeat(depth / bracket.len()));
                assert!(parse_model_config(&text).is_err());
            }
        }
    }

    /// A random configuration, and how it is written with either kind of names.
    fn spelled(seed: u64) -> (ModelConfig, Vec<u8>) {
        let mut random = Random(seed);
        let message = random.message(&MODEL_CONFIG);
        let options = SerializeOptions::new()
            .use_proto_field_name(random.one_in(2))
            .stringify_64_bit_integers(random.one_in(2));
        let mut text = Vec::new();
        message.serialize_with_options(&mut serde_json::Serializer::new(&mut text), &options).unwrap();
        (message.transcode_to().unwrap(), text)
    }

    fn damage(text: &mut Vec<u8>, random: &mut Random) {
        const BITS: [&[u8]; 14] = [
            b"{",
            b"}",
            b"[",
            b"]",
            b"\"",
            b":",
            b",",
            b"-",
            b"1e999",
            b"null",
            b"\\u",
            b"{\"input\":",
            b"1.5",
            b"99999999999999999999",
        ];
        let at = random.below(text.len() + 1);
        match random.below(3) {
            0 => text.truncate(at),
            1 => drop(text.splice(at..at, BITS[random.below(BITS.len())].iter().copied())),
            _ => drop(text.drain(at..text.len().min(at + 1 + random.below(8)))),
        }
    }

    fn read(text: &str) {
        let Ok(config) = parse_model_config(text) else { return };
        let model = ModelDirectory {
            name: config.name.clone(),
            path: "m".into(),
            versions: vec![1],
            ..ModelDirectory::default()
        };
        if let Ok(draft) = Draft::new(config, &model, &Options::default()) {
            let _ = draft.complete(&Declaration::default());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn any_configuration_parses_back_to_itself(seed in any::<u64>()) {
            let (config, text) = spelled(seed);
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(parse_model_config(&text).map_err(|error| format!("{error}\n{text}")), Ok(config));
        }

        #[test]
        fn no_damaged_configuration_makes_reading_it_panic(seed in any::<u64>(), damages in 1usize..4) {
            let (mut random, mut text) = (Random(seed), spelled(seed).1);
            for _ in 0..damages {
                damage(&mut text, &mut random);
            }
            read(&String::from_utf8_lossy(&text));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            read(&text);
            read(&format!("{{{text}"));
        }
    }
}
