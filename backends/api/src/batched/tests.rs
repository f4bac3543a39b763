use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::{
    BatchInput, BatchInputKind, BatchInputType, BatchOutput, Cancel, DType, Exchange, Inputs, InstanceKind,
    Meta, Responder, Sent, Shape, Tensor, strings,
};

/// Keeps what a request was answered with.
#[derive(Default)]
struct Recorder {
    cancel: Cancel,
    response: Mutex<Option<Response>>,
    released: AtomicUsize,
    reported: Mutex<Option<bool>>,
}

impl Exchange for Recorder {
    fn respond(&self, response: Response) -> Sent {
        assert!(self.response.lock().replace(response).is_none(), "answered twice");
        Sent::Taken
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    fn report(&self, _phases: &Phases, result: Result<(), &BackendError>) {
        assert!(self.response.lock().is_none(), "reported after the answer");
        *self.reported.lock() = Some(result.is_ok());
    }

    fn release(&self) {
        self.released.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct Counts {
    executed: Mutex<Vec<u32>>,
    rerun: AtomicUsize,
}

impl Executions for Counts {
    fn executed(&self, rows: u32, _phases: &Phases) {
        self.executed.lock().push(rows);
    }

    fn rerun(&self, requests: usize) {
        self.rerun.fetch_add(requests, Ordering::SeqCst);
    }
}

/// Gives its inputs back; fails where the first byte of any row is `poison`.
struct Identity {
    poison: Option<u8>,
}

impl Compute for Identity {
    fn compute(
        &mut self,
        inputs: &[Option<Tensor>],
        wanted: &Slots,
        _run: &Run<'_>,
    ) -> Result<Outputs, BackendError> {
        for tensor in inputs.iter().flatten() {
            let bytes = tensor.data.contiguous().expect("Compute is given one piece");
            assert_eq!(
                bytes.as_ptr().addr() % tensor.dtype.size().unwrap_or(1),
                0,
                "Compute is given aligned memory"
            );
            if self.poison.is_some_and(|poison| bytes.contains(&poison)) {
                return Err(BackendError::invalid("poisoned"));
            }
        }
        Ok(inputs
            .iter()
            .enumerate()
            .map(|(slot, tensor)| tensor.clone().filter(|_| wanted.contains(slot)))
            .collect())
    }
}

fn instance<C: Compute>(compute: C) -> (Batched<C>, Arc<Counts>) {
    ragged_instance(compute, Ragged::default())
}

fn ragged_instance<C: Compute>(compute: C, ragged: Ragged) -> (Batched<C>, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let executions = Arc::clone(&counts) as Arc<dyn Executions>;
    let (name, kind, ragged) = ("test".into(), InstanceKind::Cpu, Arc::new(ragged));
    (Batched::new(compute, &InstanceSpec { name, kind, batching: true, ragged, executions }), counts)
}

/// Where each request's elements of input 0 end, in input `target`.
fn ends(target: usize) -> BatchInput {
    let kind = BatchInputKind::AccumulatedElementCount;
    BatchInput { kind, dtype: BatchInputType::Int32, source: 0, targets: vec![target] }
}

/// What [`ends`] gave the model.
fn read_ends(tensor: &Option<Tensor>) -> Vec<usize> {
    let tensor = tensor.as_ref().expect("the batch input is there");
    let words = tensor.data.contiguous().expect("one piece").as_chunks::<4>().0;
    words.iter().map(|&word| i32::from_ne_bytes(word) as usize).collect()
}

fn request(tensors: Vec<Option<Tensor>>, rows: u32) -> (Request, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let wanted = Slots::all(tensors.len());
    let responder = Responder::new(Arc::clone(&recorder) as Arc<dyn Exchange>);
    (Request::new(Inputs::from_vec(tensors), wanted, rows, Meta::default(), responder), recorder)
}

fn bytes_tensor(rows: u32, bytes: &[u8]) -> Option<Tensor> {
    let width = bytes.len() as i64 / i64::from(rows);
    Some(Tensor::new(DType::U8, Shape::new(&[i64::from(rows), width]), Bytes::copy_from_slice(bytes)))
}

fn output(recorder: &Recorder, slot: usize) -> (Shape, Vec<u8>) {
    let response = recorder.response.lock().take().expect("answered");
    assert_eq!(response.error, None);
    let (_, tensor) = response.outputs.into_iter().find(|(s, _)| *s == slot).expect("the output is there");
    (tensor.shape, tensor.data.into_bytes().to_vec())
}

/// A float input of two columns and a string input of one, for so many rows, not aligned to anything.
fn unaligned(rows: u32, seed: u8, texts: &[Vec<u8>]) -> (Tensor, Tensor) {
    let floats: Vec<u8> = (0..rows as usize * 8 + 1).map(|i| seed.wrapping_add(i as u8)).collect();
    let floats = Bytes::from(floats).slice(1..);
    let mut wire = Vec::new();
    texts.iter().for_each(|text| strings::push(&mut wire, text));
    let rows = i64::from(rows);
    (
        Tensor::new(DType::F32, Shape::new(&[rows, 2]), floats),
        Tensor::new(DType::Bytes, Shape::new(&[rows, 1]), Bytes::from(wire)),
    )
}

proptest! {
    #[test]
    fn what_is_gathered_and_scattered_comes_back_to_its_request(
        parts in prop::collection::vec((any::<u8>(), prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 1..4)), 1..6)
    ) {
        let (mut instance, counts) = instance(Identity { poison: None });
        // Twice over the same instance: a reused buffer must not show.
        for _ in 0..2 {
            let mut expected = Vec::new();
            let mut requests = Vec::new();
            for (seed, texts) in &parts {
                let rows = texts.len() as u32;
                let (floats, texts) = unaligned(rows, *seed, texts);
                let (request, recorder) = request(vec![Some(floats.clone()), Some(texts.clone())], rows);
                requests.push(request);
                expected.push((recorder, floats, texts));
            }
            instance.execute(Batch::new(requests));
            for (recorder, floats, texts) in expected {
                prop_assert_eq!(recorder.released.load(Ordering::SeqCst), 1);
                let response = recorder.response.lock().take().unwrap();
                for ((_, have), want) in response.outputs.into_iter().zip([floats, texts]) {
                    prop_assert_eq!(have.shape, want.shape);
                    prop_assert_eq!(have.data.into_bytes(), want.data.into_bytes());
                }
            }
        }
        let rows: u32 = parts.iter().map(|(_, texts)| texts.len() as u32).sum();
        prop_assert_eq!(&*counts.executed.lock(), &[rows, rows]);
    }
}

#[test]
fn only_the_guilty_request_of_a_batch_fails() {
    let (mut instance, counts) = instance(Identity { poison: Some(9) });
    let (good, good_answer) = request(vec![bytes_tensor(1, &[1, 2])], 1);
    let (guilty, guilty_answer) = request(vec![bytes_tensor(1, &[9, 2])], 1);
    let (gone, gone_answer) = request(vec![bytes_tensor(1, &[3, 4])], 1);
    gone_answer.cancel.cancel();
    instance.execute(Batch::new(vec![good, guilty, gone]));
    assert_eq!(output(&good_answer, 0), (Shape::new(&[1, 2]), vec![1, 2]));
    assert_eq!(guilty_answer.response.lock().take().unwrap().error, Some(BackendError::invalid("poisoned")));
    assert_eq!(*guilty_answer.reported.lock(), Some(false));
    assert!(gone_answer.response.lock().is_none(), "a cancelled request is not run again");
    assert_eq!(counts.rerun.load(Ordering::SeqCst), 3);
    assert_eq!(*counts.executed.lock(), [1]);
}

#[test]
fn an_output_without_the_batch_dimension_is_an_error_alone_and_in_company() {
    struct Sum;
    impl Compute for Sum {
        fn compute(&mut self, _: &[Option<Tensor>], _: &Slots, _: &Run<'_>) -> Result<Outputs, BackendError> {
            let seven = Tensor::new(DType::U8, Shape::new(&[7]), Bytes::from_static(&[0; 7]));
            Ok(Outputs::from_iter([Some(seven)]))
        }
    }
    let (mut instance, _) = instance(Sum);
    let (alone, alone_answer) = request(vec![bytes_tensor(1, &[1])], 1);
    instance.execute(Batch::from(alone));
    let (first, first_answer) = request(vec![bytes_tensor(1, &[1])], 1);
    let (second, second_answer) = request(vec![bytes_tensor(1, &[1])], 1);
    instance.execute(Batch::new(vec![first, second]));
    for recorder in [alone_answer, first_answer, second_answer] {
        let error = recorder.response.lock().take().unwrap().error.expect("an error");
        assert!(error.message.contains("first dimension is not the batch"), "{error}");
    }
}

#[test]
fn an_output_that_nobody_wants_is_not_computed_and_one_that_another_wants_is_not_sent() {
    let (mut instance, _) = instance(Identity { poison: None });
    let recorders: Vec<Arc<Recorder>> = (0..2).map(|_| Arc::default()).collect();
    let requests = recorders.iter().enumerate().map(|(wanted, recorder)| {
        let inputs = Inputs::from_vec(vec![bytes_tensor(1, &[1]), bytes_tensor(1, &[2])]);
        let responder = Responder::new(Arc::clone(recorder) as Arc<dyn Exchange>);
        Request::new(inputs, Slots::from_iter([wanted]), 1, Meta::default(), responder)
    });
    instance.execute(Batch::new(requests.collect()));
    for (wanted, recorder) in recorders.iter().enumerate() {
        let response = recorder.response.lock().take().unwrap();
        assert_eq!(response.outputs.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [wanted]);
    }
}

#[test]
fn an_optional_input_that_all_leave_out_stays_out() {
    let (mut instance, _) = instance(Identity { poison: None });
    let (request, recorder) = request(vec![bytes_tensor(1, &[5]), None], 1);
    instance.execute(Batch::from(request));
    assert_eq!(output(&recorder, 0), (Shape::new(&[1, 1]), vec![5]));
}

/// The sum of each request's bytes, which it finds by the batch input. Fails where any of them is 9.
struct SegmentSum;

impl Compute for SegmentSum {
    fn compute(
        &mut self,
        inputs: &[Option<Tensor>],
        _: &Slots,
        _: &Run<'_>,
    ) -> Result<Outputs, BackendError> {
        let bytes = inputs[0].as_ref().and_then(|tensor| tensor.data.contiguous()).expect("one piece");
        if bytes.contains(&9) {
            return Err(BackendError::invalid("poisoned"));
        }
        let ends = read_ends(&inputs[1]);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let sums: Vec<u8> = starts.zip(&ends).map(|(start, &end)| bytes[start..end].iter().sum()).collect();
        let shape = Shape::new(&[sums.len() as i64, 1]);
        Ok(Outputs::from_iter([Some(Tensor::new(DType::U8, shape, Bytes::from(sums)))]))
    }
}

#[test]
fn a_failed_ragged_batch_is_run_again_with_the_batch_inputs_of_each_request() {
    let ragged = Ragged { inputs: Slots::from_iter([0]), batch_inputs: vec![ends(1)], ..Ragged::default() };
    let (mut instance, counts) = ragged_instance(SegmentSum, ragged);
    for (bytes, expected) in [
        ([&[1, 2][..], &[3], &[4, 5, 6]], [Some(3), Some(3), Some(15)]),
        ([&[1, 2], &[9], &[4, 5, 6]], [Some(3), None, Some(15)]),
    ] {
        let sent = bytes.map(|bytes| request(vec![bytes_tensor(1, bytes), None], 1));
        let (requests, recorders): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
        instance.execute(Batch::new(requests));
        for (recorder, expected) in recorders.iter().zip(expected) {
            match expected {
                Some(sum) => assert_eq!(output(recorder, 0), (Shape::new(&[1, 1]), vec![sum])),
                None => assert!(recorder.response.lock().take().unwrap().error.is_some()),
            }
        }
    }
    assert_eq!(*counts.executed.lock(), [3, 1, 1], "together, and then those that are not guilty alone");
    assert_eq!(counts.rerun.load(Ordering::SeqCst), 3);
}

/// Gives its inputs back, of which 0 and 1 are ragged.
struct RaggedIdentity;

impl Compute for RaggedIdentity {
    fn compute(
        &mut self,
        inputs: &[Option<Tensor>],
        wanted: &Slots,
        run: &Run<'_>,
    ) -> Result<Outputs, BackendError> {
        let total = read_ends(&inputs[3]).last().copied().unwrap_or(0) as i64;
        for ragged in inputs[..2].iter().flatten() {
            assert_eq!(*ragged.shape, [total], "a ragged input has one dimension");
        }
        Identity { poison: None }.compute(inputs, wanted, run)
    }
}

proptest! {
    #[test]
    fn ragged_requests_that_share_a_batch_get_their_own_elements_back(
        parts in prop::collection::vec((any::<u8>(), 1usize..4, 0usize..5), 1..6)
    ) {
        let cut = |slot| BatchOutput { target: slot, source: 0, shape: Shape::new(&[-1, -1]) };
        let ragged = Ragged {
            inputs: Slots::from_iter([0, 1]),
            batch_inputs: vec![ends(3)],
            batch_outputs: vec![cut(0), cut(1)],
        };
        let (mut instance, _) = ragged_instance(RaggedIdentity, ragged);
        let tensors = parts.iter().map(|&(seed, rows, width)| {
            let shape = Shape::new(&[rows as i64, width as i64]);
            let floats: Vec<u8> = (0..rows * width * 4 + 1).map(|i| seed.wrapping_add(i as u8)).collect();
            let mut texts = Vec::new();
            (0..rows * width).for_each(|i| strings::push(&mut texts, &vec![seed; (i + seed as usize) % 3]));
            [
                Tensor::new(DType::F32, shape.clone(), Bytes::from(floats).slice(1..)),
                Tensor::new(DType::Bytes, shape, Bytes::from(texts)),
                bytes_tensor(rows as u32, &vec![seed; 2 * rows]).unwrap(),
            ]
        });
        let tensors: Vec<_> = tensors.collect();
        // Together, and each alone.
        let batches = std::iter::once(&tensors[..]).chain(tensors.chunks(1));
        for batch in batches {
            let sent = batch.iter().map(|tensors| {
                let rows = tensors[0].shape[0] as u32;
                let mut inputs: Vec<_> = tensors.iter().cloned().map(Some).collect();
                inputs.push(None);
                let recorder = Arc::new(Recorder::default());
                let responder = Responder::new(Arc::clone(&recorder) as Arc<dyn Exchange>);
                (Request::new(Inputs::from_vec(inputs), Slots::all(3), rows, Meta::default(), responder), recorder)
            });
            let (requests, recorders): (Vec<_>, Vec<_>) = sent.unzip();
            instance.execute(Batch::new(requests));
            for (recorder, tensors) in recorders.iter().zip(batch) {
                let response = recorder.response.lock().take().unwrap();
                prop_assert_eq!(response.error, None);
                for ((_, have), want) in response.outputs.into_iter().zip(tensors) {
                    prop_assert_eq!(have.shape, want.shape.clone());
                    prop_assert_eq!(have.data.into_bytes(), want.data.clone().into_bytes());
                }
            }
        }
    }
}

#[test]
fn an_output_whose_elements_are_not_those_of_the_requests_shapes_is_an_error_alone_and_in_company() {
    let short = BatchOutput { target: 0, source: 0, shape: Shape::new(&[-1, -1, 2]) };
    let ragged = Ragged { inputs: Slots::from_iter([0]), batch_outputs: vec![short], ..Ragged::default() };
    let (mut instance, _) = ragged_instance(Identity { poison: None }, ragged);
    let (first, first_answer) = request(vec![bytes_tensor(1, &[1])], 1);
    let (second, second_answer) = request(vec![bytes_tensor(1, &[1, 2])], 1);
    instance.execute(Batch::new(vec![first, second]));
    for recorder in [first_answer, second_answer] {
        let error = recorder.response.lock().take().unwrap().error.expect("an error");
        assert!(error.message.contains("correct the source_input of its batch_output"), "{error}");
    }
}
