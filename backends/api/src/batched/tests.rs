mod ragged;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::{Cancel, DType, Exchange, Inputs, InstanceKind, Meta, Responder, Sent, Shape, Tensor, strings};

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
