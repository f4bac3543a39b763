//! Which requests are the same.

use nerite_backend::{BackendError, CorrelationId, Parameter, Sequence, Slots};

use super::*;
use crate::admission::QueueTerms;
use crate::mock::{answer, output, poll, until, wait};
use crate::model::QueuePolicy;

/// Whether a request finds its answer, which otherwise is given now.
#[track_caller]
fn is_hit(version: &Arc<ModelVersion>, handle: &Handle, admitted: Admitted) -> bool {
    let mut sent = send(version, admitted);
    match poll(&mut sent) {
        Some(response) => {
            content(&response);
            true
        }
        None => {
            handle.next().succeed();
            content(&wait(sent));
            false
        }
    }
}

#[test]
fn a_request_that_is_the_same_is_answered_without_being_executed() {
    let (cache, version, handle) = serve(spec());
    assert!(!is_hit(&version, &handle, of(b"abc")));
    let response = wait(send(&version, named("another", of(b"abc"))));
    assert_eq!(content(&response), b"abc");
    assert_eq!((handle.executions(), cache.usage().entries), (1, 1));
    let statistics = version.statistics();
    assert_eq!((statistics.success.count(), statistics.inferences()), (2, 1));
    assert_eq!((statistics.cache_hit.count(), statistics.cache_miss.count()), (1, 1));
    assert_eq!((statistics.queue.count(), statistics.compute_infer.count()), (2, 1));
    until(|| version.free_instances() == 1);
}

#[test]
fn what_may_change_an_answer_tells_requests_apart_and_nothing_else_does() {
    let mut two = spec();
    two.outputs.push(output("Y", DType::U8, &[-1], 1));
    two.scheduling.levels = vec![QueuePolicy::default(); 2];
    let (_cache, version, handle) = serve(two);
    let with = |change: fn(&mut Admitted)| {
        let mut admitted = of(b"abcd");
        admitted.wanted = [0].into_iter().collect();
        change(&mut admitted);
        admitted
    };
    let parameters = |admitted: &mut Admitted| {
        admitted.meta.parameters =
            vec![("b".to_owned(), Parameter::Int(2)), ("a".to_owned(), Parameter::Bool(true))];
    };
    assert!(!is_hit(&version, &handle, with(|_| {})));
    let different: [fn(&mut Admitted); 3] = [
        |other| other.inputs = of(b"abce").inputs,
        |other| {
            if let Some(input) = &mut other.inputs[0] {
                input.shape = Shape::new(&[1, 2, 2]);
            }
        },
        |other| other.meta.parameters = vec![("a".to_owned(), Parameter::Int(1))],
    ];
    for (number, change) in different.into_iter().enumerate() {
        assert!(!is_hit(&version, &handle, with(change)), "{number}");
        assert!(is_hit(&version, &handle, with(change)), "{number}");
    }
    assert!(!is_hit(&version, &handle, with(parameters)));
    let the_same: [fn(&mut Admitted); 4] = [
        |_| {},
        |other| other.meta.id = "another".to_owned(),
        |other| other.terms = QueueTerms { priority: 2, ..QueueTerms::default() },
        |other| other.meta.timeout = Some(std::time::Duration::from_secs(1)),
    ];
    for (number, change) in the_same.into_iter().enumerate() {
        assert!(is_hit(&version, &handle, with(change)), "{number}");
    }
    // Parameters come in no particular order.
    let mut reversed = with(parameters);
    reversed.meta.parameters.reverse();
    assert!(is_hit(&version, &handle, reversed));
}

#[test]
fn outputs_asked_for_tell_requests_apart_and_only_they_are_kept() {
    let mut two = model("M", 8, vec![input("X", DType::U8, &[-1], 0), input("Z", DType::U8, &[-1], 1)]);
    two.response_cache = true;
    let (_cache, version, handle) = serve(two);
    let asking = |wanted: &[usize]| {
        let mut admitted = of(b"abc");
        admitted.inputs.push(admitted.inputs[0].clone());
        admitted.wanted = wanted.iter().copied().collect::<Slots>();
        admitted
    };
    for wanted in [&[0][..], &[1], &[0, 1]] {
        assert!(!is_hit(&version, &handle, asking(wanted)));
        let response = wait(send(&version, asking(wanted)));
        let given: Vec<usize> = response.outputs.iter().map(|(slot, _)| *slot).collect();
        assert_eq!(given, wanted);
    }
}

#[test]
fn requests_of_sequences_are_executed_and_their_answers_not_kept() {
    let (cache, version, handle) = serve(spec());
    let in_sequence = |sequence| {
        let mut admitted = of(b"abc");
        admitted.meta.sequence = sequence;
        admitted
    };
    for sequence in [
        Sequence { id: CorrelationId::Number(1), ..Sequence::default() },
        Sequence { id: CorrelationId::Text("s".to_owned()), ..Sequence::default() },
        Sequence { start: true, ..Sequence::default() },
    ] {
        assert!(!is_hit(&version, &handle, in_sequence(sequence.clone())));
        assert!(!is_hit(&version, &handle, in_sequence(sequence)));
    }
    assert_eq!(cache.usage().entries, 0);
    assert_eq!(version.statistics().cache_miss.count(), 0, "the cache was not asked");
}

#[test]
fn requests_with_the_same_hash_get_their_own_answers() {
    let (cache, version, handle) = serve_from(ResponseCache::hashing_with(SIZE, |_, _| 7), spec());
    for bytes in [b"abc", b"abd", b"abc", b"abd"] {
        assert!(!is_hit(&version, &handle, of(bytes)), "the other has taken its place");
        assert_eq!(content(&wait(send(&version, of(bytes)))), bytes);
    }
    assert_eq!(cache.usage().entries, 1);
    // Under way at a time, too: the second does not wait for the first's answer.
    let (first, second) = (send(&version, of(b"x")), send(&version, of(b"y")));
    let third = send(&version, of(b"x"));
    while version.statistics().success.count() < 11 {
        handle.next().succeed();
    }
    for (answer, bytes) in [(first, b"x"), (second, b"y"), (third, b"x")] {
        assert_eq!(content(&wait(answer)), bytes);
    }
    assert_eq!(cache.flights(), 0);
}

#[test]
fn failures_are_not_kept() {
    let (cache, version, handle) = serve(spec());
    let failing = send(&version, of(b"abc"));
    handle.next().fail(&BackendError::internal("not today"));
    assert!(wait(failing).error.is_some());
    assert_eq!(cache.usage().entries, 0);
    assert_eq!(version.statistics().cache_miss.count(), 0);
    assert!(!is_hit(&version, &handle, of(b"abc")));
}

#[test]
fn answers_of_one_load_are_never_given_for_another_and_go_with_it() {
    let cache = Arc::new(ResponseCache::new(SIZE));
    let (stage, handle) = Stage::with_cache(spec(), plan(1), Arc::default(), Some(Arc::clone(&cache)));
    let (old, new) = (stage.load(), stage.load());
    assert!(!is_hit(&old, &handle, of(b"abc")));
    assert!(!is_hit(&new, &handle, of(b"abc")));
    assert_eq!(cache.usage().entries, 2);
    drop(old);
    until(|| cache.usage().entries == 1);
    assert!(is_hit(&new, &handle, of(b"abc")));
    drop(new);
    until(|| cache.usage() == super::super::Usage { size: SIZE, ..Default::default() });
}

#[test]
fn a_model_that_does_not_ask_for_it_and_a_server_without_a_cache_keep_nothing() {
    let cache = Arc::new(ResponseCache::new(SIZE));
    let unasked = ModelSpec { response_cache: false, ..spec() };
    for (spec, cache) in [(unasked, Some(cache)), (spec(), None)] {
        let (stage, handle) = Stage::with_cache(spec, plan(1), Arc::default(), cache);
        let version = stage.load();
        assert!(!version.keeps_answers());
        for _ in 0..2 {
            let sent = send(&version, of(b"abc"));
            handle.next().succeed();
            wait(sent);
        }
    }
}

#[test]
fn what_is_kept_holds_neither_the_message_nor_the_batch_that_it_was_of() {
    struct Whole {
        _alive: Arc<()>,
    }
    impl AsRef<[u8]> for Whole {
        fn as_ref(&self) -> &[u8] {
            b"a long message"
        }
    }
    let (cache, version, handle) = serve(spec());
    let alive = Arc::new(());
    let slice = Bytes::from_owner(Whole { _alive: Arc::clone(&alive) }).slice(2..6);
    let mut admitted = of(b"long");
    admitted.inputs[0] = Some(Tensor::new(DType::U8, Shape::new(&[1, 4]), slice));
    let sent = send(&version, admitted);
    // The mock answers with the very buffer.
    let execution = handle.next();
    execution.requests().iter().for_each(answer);
    drop(execution);
    drop(wait(sent));
    until(|| Arc::strong_count(&alive) == 1);
    assert_eq!(cache.usage().entries, 1);
    assert!(is_hit(&version, &handle, of(b"long")));
}

#[test]
fn where_answers_come_in_the_order_of_requests_one_that_is_kept_waits_for_its_turn() {
    let mut spec = spec();
    spec.scheduling.preserve_ordering = true;
    let cache = Some(Arc::new(ResponseCache::new(SIZE)));
    let (stage, handle) = Stage::with_cache(spec, plan(2), Arc::default(), cache);
    let version = stage.load();
    let first = send(&version, of(b"abc"));
    handle.next().succeed();
    wait(first);
    let slow = send(&version, of(b"slow"));
    let mut kept = send(&version, of(b"abc"));
    let execution = handle.next();
    // So does one that the cache is not asked about.
    let mut in_sequence = of(b"last");
    in_sequence.meta.sequence.start = true;
    let mut last = send(&version, in_sequence);
    handle.next().succeed();
    assert!(poll(&mut kept).is_none(), "the answer before it is not there yet");
    assert!(poll(&mut last).is_none());
    execution.succeed();
    assert_eq!(content(&wait(slow)), b"slow");
    assert_eq!(content(&wait(kept)), b"abc");
    assert_eq!(content(&wait(last)), b"last");
    assert_eq!(version.statistics().cache_hit.count(), 1);
}
