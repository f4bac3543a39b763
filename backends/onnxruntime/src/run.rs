//! Running a session.
#![allow(unsafe_code)]

use std::ffi::c_char;
use std::ptr::null_mut;

use nerite_backend::Slot;
use ort::sys::OrtValue;
use smallvec::{SmallVec, smallvec};

use crate::run_options::RunOptions;
use crate::session::Session;
use crate::status::{OrtError, ort_call};
use crate::value::{Input, Value};

/// As many inputs or outputs as need no allocation.
const FEW: usize = 8;

/// A run's inputs, each with its slot.
pub(crate) type Inputs<'a> = SmallVec<[(Slot, Input<'a>); 4]>;

/// A run's results.
pub(crate) type Values = SmallVec<[Option<Value>; 4]>;

/// Runs the session and gives the values of the outputs in those slots, in that order; `None` for an output that the
/// model left without a value.
///
/// # Panics
/// If a slot is not one of the session's.
pub(crate) fn run(
    session: &Session,
    options: &RunOptions,
    inputs: &Inputs<'_>,
    outputs: &[Slot],
) -> Result<Values, OrtError> {
    let (mut input_names, mut input_values) = (SmallVec::<[_; FEW]>::new(), SmallVec::<[_; FEW]>::new());
    for (slot, input) in inputs {
        input_names.push(session.inputs()[*slot].as_ptr());
        input_values.push(input.as_ptr());
    }
    let output_names: SmallVec<[*const c_char; FEW]> =
        outputs.iter().map(|&slot| session.outputs()[slot].as_ptr()).collect();
    let mut values: SmallVec<[*mut OrtValue; FEW]> = smallvec![null_mut(); outputs.len()];
    // SAFETY: the session and the options live, and both may be used by a run while other threads use them too. There
    // are as many names as values, each list as long as is said; the names live as long as the session, the inputs as
    // long as their borrow. The results go to a local, in which null says that ONNX Runtime is to make the value.
    let ran = unsafe {
        ort_call!(Run(
            session.as_ptr(),
            options.as_ptr().cast_const(),
            input_names.as_ptr(),
            input_values.as_ptr(),
            input_names.len(),
            output_names.as_ptr(),
            output_names.len(),
            values.as_mut_ptr()
        ))
    };
    // SAFETY: what was made is ours now, whether or not the run succeeded, and nobody else knows of it.
    let values = values.into_iter().map(|value| unsafe { Value::from_raw(value) }).collect();
    ran.map(|()| values)
}
