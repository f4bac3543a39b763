use std::time::Duration;

use nerite_backend::{Code, DType, Declaration, Shape};
use nerite_core::model::{SequenceBatching, SequenceStrategy, Signal};
use nerite_proto::inference::model_config::SchedulingChoice;

use super::{Repository, declaration, published, tensor};

/// A model of batches with an input `x`, controls `start` and `id`, and a state that is `in` and `out`.
fn model() -> Declaration {
    declaration(
        &[
            tensor("x", DType::F32, &[-1, 2]),
            tensor("start", DType::F32, &[-1, 1]),
            tensor("id", DType::U64, &[-1]),
            tensor("in", DType::F32, &[-1, 3]),
        ],
        &[tensor("y", DType::F32, &[-1, 2]), tensor("out", DType::F32, &[-1, 3])],
    )
}

const CONTROLS: &str = "
    control_input { name: \"start\" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } }
    control_input { name: \"id\" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } }";
const STATE: &str = "state { input_name: \"in\" output_name: \"out\" data_type: TYPE_FP32 dims: 3 }";

fn served(size: u32, batching: &str) -> (SequenceBatching, nerite_core::model::ModelSpec) {
    let config = format!("max_batch_size: {size} sequence_batching {{ {batching} }}");
    let spec = Repository::configured(&config).served(&model()).expect(&config);
    (spec.sequences.as_deref().expect("it has sequences").clone(), spec)
}

#[test]
fn controls_and_states_are_left_out_of_the_inputs_and_outputs_that_are_completed() {
    let (batching, spec) = served(8, &format!("{CONTROLS} {STATE}"));
    assert_eq!(spec.inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>(), ["x"]);
    assert_eq!(spec.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["y"]);
    let controls: Vec<_> = batching.controls.iter().map(|control| (control.slot, &*control.shape)).collect();
    assert_eq!(controls, [(1, &[1, 1][..]), (2, &[1][..])]);
    assert_eq!(batching.controls[1].signal, Signal::CorrelationId);
    let state = &batching.states[0];
    assert_eq!((state.input, state.output, state.shape.is_dynamic()), (3, 1, false));
    assert_eq!(state.initial.shape, Shape::new(&[1, 3]));
    assert_eq!(state.initial.data.contiguous(), Some(&[0; 12][..]));
    let config = published(&spec);
    let Some(SchedulingChoice::SequenceBatching(published)) = config.scheduling_choice else {
        panic!("it has no dynamic batching")
    };
    assert_eq!(published.max_sequence_idle_microseconds, 1_000_000);
}

#[test]
fn strategies_come_out_in_the_cores_terms() {
    let direct =
        |share: &str| format!("{CONTROLS} {STATE} direct {{ {share} max_queue_delay_microseconds: 5 }}");
    for (share, fewest) in
        [("", 0), ("minimum_slot_utilization: 0.3", 3), ("minimum_slot_utilization: 1.0", 8)]
    {
        let (batching, spec) = served(8, &direct(share));
        assert_eq!(batching.strategy, SequenceStrategy::Direct { fewest }, "{share}");
        assert_eq!(spec.scheduling.max_queue_delay, Duration::from_micros(5));
        assert!(!spec.scheduling.dynamic_batching);
    }
    let oldest =
        "oldest { max_candidate_sequences: 30 preferred_batch_size: [ 4, 2 ] preserve_ordering: true }";
    let (batching, spec) =
        served(8, &format!("{CONTROLS} {STATE} {oldest} max_sequence_idle_microseconds: 7"));
    assert_eq!(batching.strategy, SequenceStrategy::Oldest { candidates: 30 });
    assert_eq!(batching.max_idle, Duration::from_micros(7));
    assert_eq!(spec.scheduling.preferred_batch_sizes, [2, 4]);
    assert!(spec.scheduling.dynamic_batching && spec.scheduling.preserve_ordering);
    let (batching, _) = served(8, &format!("{CONTROLS} {STATE} oldest {{ }}"));
    assert_eq!(batching.strategy, SequenceStrategy::Oldest { candidates: 8 });
}

#[test]
fn what_cannot_be_is_refused_in_tritons_words() {
    let start = |values: &str| {
        format!("control_input {{ name: \"a\" control {{ kind: CONTROL_SEQUENCE_START {values} }} }}")
    };
    let state = |more: &str| {
        format!("state {{ input_name: \"in\" output_name: \"out\" data_type: TYPE_FP32 dims: 3 {more} }}")
    };
    let initial = |more: &str| state(&format!("initial_state {{ name: \"i\" {more} }}"));
    let table = [
        (start(""), "must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true'"),
        (start("int32_false_true: [ 0, 1 ] fp32_false_true: [ 0, 1 ]"), "specifies more than one from"),
        (
            start("int32_false_true: 1"),
            "'int32_false_true' must have exactly 2 entries for CONTROL_SEQUENCE_START",
        ),
        (
            start("int32_false_true: [ 0, 1 ]").repeat(2),
            "control tensor 'a' is specified for multiple control kinds",
        ),
        (
            format!(
                "{0} {1}",
                start("int32_false_true: [ 0, 1 ]"),
                start("int32_false_true: [ 0, 1 ]").replace("\"a\"", "\"b\"")
            ),
            "specifies multiple CONTROL_SEQUENCE_START tensors",
        ),
        (
            "control_input { name: \"a\" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 } }"
                .to_owned(),
            "unexpected control data type",
        ),
        ("control_input { control { } }".to_owned(), "control tensor must have a name"),
        ("direct { minimum_slot_utilization: 1.5 }".to_owned(), "minimum_slot_utilization of 1.5"),
        ("oldest { preferred_batch_size: 9 }".to_owned(), "preferred batch size must be <= max batch size"),
        (state("").repeat(2), "State name 'in' specified more than once"),
        (state("use_growable_memory: true"), "you must also enable 'use_same_buffer_for_input_output'"),
        (initial("data_type: TYPE_INT32 dims: 3 zero_data: true"), "does not match the state data type"),
        (initial("data_type: TYPE_FP32 dims: 4 zero_data: true"), "4 != 3"),
        (initial("data_type: TYPE_FP32 dims: -1 zero_data: true"), "contains variable dimensions"),
        (initial("data_type: TYPE_FP32 dims: [ 3, 1 ] zero_data: true"), "2 != 1"),
        (initial("data_type: TYPE_FP32 dims: 3"), "to have state_data set"),
    ];
    for (batching, expected) in table {
        let config = format!("max_batch_size: 8 sequence_batching {{ {batching} }}");
        let error = Repository::configured(&config).refusal();
        assert_eq!(error.code, Code::InvalidArgument, "{config}");
        assert!(error.message.contains(expected), "{config}: {}", error.message);
    }
}

#[test]
fn an_initial_state_is_read_from_its_folder_and_nowhere_else() {
    let config = |file: &str| {
        format!(
            "max_batch_size: 8 sequence_batching {{ {CONTROLS} state {{ input_name: \"in\" output_name: \"out\" \
             data_type: TYPE_FP32 dims: 3 initial_state {{ name: \"i\" data_type: TYPE_FP32 dims: 3 \
             data_file: \"{file}\" }} }} }}"
        )
    };
    let repository = |file: &str, text: &str| {
        Repository::new(&[
            ("m/config.pbtxt", &config(file)),
            ("m/1/model.onnx", ""),
            ("m/initial_state/first", text),
        ])
    };
    let spec = repository("first", "twelve bytes").served(&model()).unwrap();
    let batching = spec.sequences.unwrap();
    assert_eq!(batching.states[0].initial.data.contiguous(), Some(&b"twelve bytes"[..]));
    for (file, text) in
        [("first", "short"), ("first", "more than twelve"), ("none", ""), ("../config.pbtxt", "")]
    {
        let error = repository(file, text).served(&model()).expect_err(file);
        assert!(error.message.contains("has the data_file"), "{}", error.message);
    }
}

#[test]
fn the_parameters_of_a_queue_are_refused_where_there_is_none() {
    let config = format!(
        "max_batch_size: 8 sequence_batching {{ {CONTROLS} {STATE} }} \
         parameters {{ key: \"nerite.max_queue_size\" value {{ string_value: \"5\" }} }}"
    );
    let error = Repository::configured(&config).served(&model()).unwrap_err();
    assert!(error.message.contains("which sequences do not have"), "{}", error.message);
}
