//! Which requests go together, and how many batches run at once.

use std::sync::Arc;
use std::time::Instant;

use nerite_backend::{DType, Ragged, Slots, SpanContext, TraceMark, TracedBatch};

use super::{batches_of_8, one_by_one, send};
use crate::execution::Answer;
use crate::mock::{input, model, of_shapes, request, serve, until, wait};
use crate::model::ModelSpec;

#[test]
fn while_the_instance_is_busy_the_queue_fills_and_the_next_batch_takes_all_that_fits() {
    let (version, handle) = serve(batches_of_8(), 1);
    let mut answers = vec![send(&version, "first", 1)];
    let busy = handle.next();
    assert_eq!(busy.ids(), ["first"]);
    answers.extend(
        [("a", 3), ("b", 4), ("c", 1), ("d", 8), ("e", 1)].map(|(id, rows)| send(&version, id, rows)),
    );
    assert_eq!(version.pending(), 5);
    busy.succeed();
    for (ids, rows, left) in [(&["a", "b", "c"][..], 8, 2), (&["d"], 8, 1), (&["e"], 1, 0)] {
        let execution = handle.next();
        assert_eq!(execution.ids(), ids);
        assert_eq!(execution.requests().iter().map(|request| request.rows()).sum::<u32>(), rows);
        assert_eq!(version.pending(), left);
        execution.succeed();
    }
    assert!(answers.into_iter().all(|answer| wait(answer).error.is_none()));
    let statistics = version.statistics();
    assert_eq!((statistics.executions(), statistics.inferences(), statistics.success.count()), (4, 18, 6));
    let batches = statistics.batches();
    let sizes: Vec<(u32, u64)> = batches.iter().map(|(&rows, batch)| (rows, batch.executions)).collect();
    assert_eq!(sizes, [(1, 2), (8, 2)]);
}

#[test]
fn n_instances_execute_n_batches_at_once_and_never_more() {
    let (version, handle) = serve(one_by_one(), 3);
    let answers: Vec<Answer> = (0..10).map(|i| send(&version, &i.to_string(), 1)).collect();
    let mut executing: Vec<_> = (0..3).map(|_| handle.next()).collect();
    assert_eq!(version.pending(), 7, "the others wait in the queue");
    assert!(!handle.has_next());
    let mut instances: Vec<String> = executing.iter().map(|execution| execution.instance.clone()).collect();
    instances.sort();
    assert_eq!(instances, ["group_0", "group_1", "group_2"]);
    for _ in 3..10 {
        executing.remove(0).succeed();
        executing.push(handle.next());
    }
    executing.into_iter().for_each(|execution| execution.succeed());
    assert!(answers.into_iter().all(|answer| wait(answer).error.is_none()));
    assert_eq!((handle.executions(), handle.most_at_once()), (10, 3));
    until(|| version.free_instances() == 3);
}

#[test]
fn without_dynamic_batching_requests_are_executed_one_by_one_in_order() {
    let without_batches = model("M", 0, vec![input("X", DType::U8, &[-1, 1], 0)]);
    for spec in [one_by_one(), without_batches] {
        let (version, handle) = serve(spec, 1);
        let answers: Vec<Answer> = ["a", "b", "c"].map(|id| send(&version, id, 1)).into();
        for id in ["a", "b", "c"] {
            let execution = handle.next();
            assert_eq!(execution.ids(), [id]);
            execution.succeed();
        }
        assert!(answers.into_iter().all(|answer| wait(answer).error.is_none()));
        assert_eq!(version.statistics().executions(), 3);
    }
}

/// Sends requests of these shapes while the instance is busy, and returns the ids of each batch that is made of them.
fn batches(spec: ModelSpec, requests: &[(&str, &[Option<&[i64]>])]) -> Vec<Vec<String>> {
    let (version, handle) = serve(spec, 1);
    let Some((_, first)) = requests.first() else { return Vec::new() };
    let mut answers = vec![version.infer(of_shapes("busy", 1, first), Instant::now())];
    let busy = handle.next();
    answers
        .extend(requests.iter().map(|(id, shapes)| version.infer(of_shapes(id, 1, shapes), Instant::now())));
    busy.succeed();
    let mut batches = Vec::new();
    while batches.iter().map(Vec::len).sum::<usize>() < requests.len() {
        let execution = handle.next();
        batches.push(execution.ids());
        execution.succeed();
    }
    assert!(answers.into_iter().all(|answer| wait(answer).error.is_none()));
    batches
}

#[test]
fn requests_whose_shapes_differ_are_not_executed_together() {
    let spec = model("M", 8, vec![input("X", DType::U8, &[-1], 0)]);
    let short: &[Option<&[i64]>] = &[Some(&[1, 2])];
    let long: &[Option<&[i64]>] = &[Some(&[1, 3])];
    let batches = batches(spec, &[("a", short), ("b", short), ("c", long), ("d", short), ("e", short)]);
    assert_eq!(batches, [vec!["a", "b"], vec!["c"], vec!["d", "e"]]);
}

#[test]
fn a_ragged_input_keeps_no_requests_apart_and_another_still_does() {
    let ragged = Arc::new(Ragged { inputs: Slots::from_iter([0]), ..Ragged::default() });
    let one =
        ModelSpec { ragged: Arc::clone(&ragged), ..model("M", 8, vec![input("X", DType::U8, &[-1], 0)]) };
    let (short, long): (Option<&[i64]>, Option<&[i64]>) = (Some(&[1, 2]), Some(&[1, 3]));
    assert_eq!(batches(one, &[("a", &[short]), ("b", &[long]), ("c", &[short])]), [["a", "b", "c"]]);

    let mut two = model("M", 8, vec![input("X", DType::U8, &[-1], 0), input("Y", DType::U8, &[-1], 1)]);
    two.ragged = ragged;
    let requests: [(&str, &[_]); 4] =
        [("a", &[short, short]), ("b", &[long, short]), ("c", &[long, long]), ("d", &[short, long])];
    assert_eq!(batches(two, &requests), [["a", "b"], ["c", "d"]]);
}

#[test]
fn requests_with_different_optional_inputs_are_not_executed_together() {
    let mut spec = model("M", 8, vec![input("X", DType::U8, &[1], 0), input("Y", DType::U8, &[1], 1)]);
    spec.inputs[1].optional = true;
    let row: Option<&[i64]> = Some(&[1, 1]);
    let both: &[Option<&[i64]>] = &[row, row];
    let one: &[Option<&[i64]>] = &[row, None];
    let batches = batches(spec, &[("a", both), ("b", one), ("c", one), ("d", both)]);
    assert_eq!(batches, [vec!["a"], vec!["b", "c"], vec!["d"]]);
}

#[test]
fn traced_requests_are_told_of_their_batch_and_of_each_other() {
    let (version, handle) = serve(batches_of_8(), 1);
    let mark = |span_id| Arc::new(TraceMark::new(SpanContext { trace_id: 7, span_id }));
    let traced = |mark: &Arc<TraceMark>| {
        let mut admitted = request("traced", 2);
        admitted.meta.trace = Some(Arc::clone(mark));
        version.infer(admitted, Instant::now())
    };
    let marks = [mark(1), mark(2), mark(3)];
    let first = traced(&marks[0]);
    let busy = handle.next();
    let mut answers: Vec<Answer> =
        vec![traced(&marks[1]), send(&version, "not traced", 1), traced(&marks[2])];
    assert_eq!(marks[1].batch(), None);
    busy.succeed();
    assert!(wait(first).error.is_none());
    handle.next().succeed();
    let mut last = answers.pop().expect("there are three");
    assert!(wait(&mut last).error.is_none());
    assert!(last.phases().is_some_and(|phases| phases.start <= phases.end));
    let alone = TracedBatch { requests: 1, rows: 2, traced: Arc::new([marks[0].context()]) };
    assert_eq!(marks[0].batch(), Some(&alone));
    let traced = Arc::new([marks[1].context(), marks[2].context()]);
    let together = TracedBatch { requests: 3, rows: 5, traced };
    assert!(marks[1..].iter().all(|mark| mark.batch() == Some(&together)));
}
