//! Batches of requests whose shapes differ.

use super::*;
use crate::{BatchInput, BatchInputKind, BatchInputType, BatchOutput};

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
