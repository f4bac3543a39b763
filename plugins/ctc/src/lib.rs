//! A backend that reads what a recogniser of text or speech has written: greedy decoding of connectionist temporal
//! classification.
//!
//! Input: `probabilities`, FP32 `[-1, classes]`, a row for each step, and `[-1, -1, classes]` where the model does not
//! batch. Class 0 is the blank. Outputs: `text`, BYTES, and `score`, FP32, the mean probability of what was read, both
//! `[1]`, otherwise `[-1]`.
//!
//! Parameter of the model, optional:
//! - `characters`: the file with the characters of the classes from 1 on, one a line, in the version's folder or the
//!   model's (`characters.txt`).

mod decode;

use std::sync::Arc;

use nerite_plugin::{
    Batch, Config, DataType, Error, Instance, InstanceContext, Model, ModelContext, Request, Response, Result,
};

use crate::decode::{Alphabet, Reading};

const PROBABILITIES: &str = "probabilities";
const TEXT: &str = "text";
const SCORE: &str = "score";
const FILE: &str = "characters.txt";

/// A model: an alphabet.
struct Ctc {
    alphabet: Alphabet,
    batches: bool,
}

impl Model for Ctc {
    type Instance = Decoder;

    fn load(context: &ModelContext<'_>) -> Result<Ctc> {
        let config = context.config();
        let classes = check(config)?;
        let path = context.file(config.parameter("characters").unwrap_or(FILE))?;
        let unusable = |error: &dyn std::error::Error| {
            Error::invalid_argument(format_args!("{} cannot be used: {error}", path.display()))
        };
        let file = std::fs::read_to_string(&path).map_err(|error| unusable(&error))?;
        let alphabet = Alphabet::new(&file);
        if let Ok(classes) = usize::try_from(classes) {
            alphabet.check(classes).map_err(|error| unusable(&error))?;
        }
        Ok(Ctc { alphabet, batches: config.max_batch_size() > 0 })
    }

    fn instance(self: &Arc<Ctc>, _: &InstanceContext<'_>) -> Result<Decoder> {
        Ok(Decoder { model: Arc::clone(self) })
    }
}

/// Refuses a configuration that this backend does not serve; says how many classes the input has, or -1.
fn check(config: &Config) -> Result<i64> {
    let [probabilities] = config.named_inputs([(PROBABILITIES, DataType::Fp32)])?;
    let outputs = config.named_outputs([(TEXT, DataType::Bytes), (SCORE, DataType::Fp32)])?;
    let (rank, of_one) = if config.max_batch_size() > 0 { (2, "[ 1 ]") } else { (3, "[ -1 ]") };
    let dims = probabilities.map(|probabilities| probabilities.dims).filter(|dims| dims.len() == rank);
    let classes = dims.and_then(|dims| dims.last().copied()).ok_or_else(|| {
        Error::invalid_argument(format_args!(
            "the ctc backend needs the input {PROBABILITIES:?} with {rank} dims, the last of which are the classes"
        ))
    })?;
    match outputs.iter().flatten().find(|output| output.dims.len() != 1) {
        Some(output) => Err(Error::invalid_argument(format_args!(
            "the output {:?} of the ctc backend has dims: {of_one}",
            output.name
        ))),
        None => Ok(classes),
    }
}

/// An instance.
struct Decoder {
    model: Arc<Ctc>,
}

impl Instance for Decoder {
    fn execute(&mut self, batch: &mut Batch) -> Result<()> {
        batch.respond_each(|request, response| self.model.decode(request, response));
        Ok(())
    }
}

impl Ctc {
    fn decode(&self, request: &Request, response: &mut Response<'_>) -> Result<()> {
        let input = request.input(PROBABILITIES)?;
        let &[rows, steps, classes] = input.shape() else {
            return Err(Error::invalid_argument(format_args!(
                "{PROBABILITIES} are of rows, steps and classes, not of shape {:?}",
                input.shape()
            )));
        };
        let [count, steps, classes] =
            [rows, steps, classes].map(|extent| usize::try_from(extent).unwrap_or(0));
        self.alphabet.check(classes).map_err(Error::invalid_argument)?;
        let values = input.values::<f32>()?;
        // An input has as many values as its shape says, and its product is a number.
        let row =
            |row: usize| values.get(row * steps * classes..(row + 1) * steps * classes).unwrap_or_default();
        let readings: Vec<Reading> = (0..count).map(|index| self.alphabet.read(row(index))).collect();
        let shape = if self.batches { vec![rows, 1] } else { vec![rows] };
        for wanted in request.requested_outputs() {
            match wanted? {
                TEXT => {
                    let texts: Vec<&str> = readings.iter().map(|reading| reading.text.as_str()).collect();
                    response.output_of_bytes(TEXT, &shape, &texts)?;
                }
                SCORE => {
                    let scores: Vec<f32> = readings.iter().map(|reading| reading.score).collect();
                    response.output_of(SCORE, &shape, &scores)?;
                }
                other => {
                    return Err(Error::invalid_argument(format_args!(
                        "the ctc backend has no output {other:?}"
                    )));
                }
            }
        }
        Ok(())
    }
}

nerite_plugin::export!(Ctc);
