use std::fmt;

use nerite_backend::{Code, CorrelationId, Shape};

/// Why a request is refused before it is queued. The texts are those of Triton, which clients match on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    model: String,
    /// The request's id, for faults whose text begins with it.
    request: Option<String>,
    fault: Fault,
}

impl Refusal {
    pub(super) fn new(model: &str, request: &str, fault: Fault) -> Refusal {
        let request = fault.names_request().then(|| request.to_owned());
        Refusal { model: model.to_owned(), request, fault }
    }

    /// The kind of failure.
    pub fn code(&self) -> Code {
        Code::InvalidArgument
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = &self.request {
            RequestPrefix(id).fmt(f)?;
        }
        self.fault.write(&self.model, f)
    }
}

impl std::error::Error for Refusal {}

/// What Triton puts before many of its texts: the request's id, which may be empty.
pub(crate) struct RequestPrefix<'a>(pub(crate) &'a str);

impl fmt::Display for RequestPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = if self.0.is_empty() { "<id_unknown>" } else { self.0 };
        write!(f, "[request id: {id}] ")
    }
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    DuplicateInput {
        input: String,
    },
    DuplicateOutput {
        output: String,
    },
    UnknownInput {
        input: String,
    },
    UnknownOutput {
        output: String,
    },
    InputCount {
        least: usize,
        most: usize,
        got: Vec<String>,
        missing: Vec<String>,
    },
    NoData {
        input: String,
    },
    NoShape {
        input: String,
    },
    BatchMismatch {
        input: String,
    },
    BatchTooLarge {
        most: u32,
    },
    EmptyBatch {
        input: String,
    },
    DType {
        input: String,
        got: String,
        want: &'static str,
    },
    OpenDimension {
        input: String,
        shape: Shape,
    },
    /// `batching` adds a note on the batch dimension.
    WrongShape {
        input: String,
        want: Shape,
        got: Shape,
        batching: bool,
    },
    TooManyElements {
        input: String,
        shape: Shape,
    },
    ByteSize {
        input: String,
        want: usize,
        got: usize,
    },
    NoBool {
        input: String,
        place: usize,
        byte: u8,
    },
    TooFewStrings {
        input: String,
        want: usize,
        got: usize,
    },
    TooManyStrings {
        input: String,
        want: usize,
        got: usize,
    },
    StringLength {
        input: String,
        available: usize,
    },
    StringContent {
        input: String,
        want: usize,
        available: usize,
    },
    BatchInSequence,
    NoSequence,
    /// `dtype` is what the model takes.
    SequenceId {
        id: CorrelationId,
        dtype: &'static str,
    },
}

impl Fault {
    fn names_request(&self) -> bool {
        use Fault::*;
        !matches!(
            self,
            UnknownInput { .. }
                | UnknownOutput { .. }
                | NoData { .. }
                | BatchInSequence
                | NoSequence
                | SequenceId { .. }
        )
    }

    fn write(&self, model: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Fault::*;
        match self {
            DuplicateInput { input } => write!(f, "input '{input}' already exists in request"),
            DuplicateOutput { output } => write!(f, "output '{output}' already exists in request"),
            UnknownInput { input } => write!(f, "unexpected inference input '{input}' for model '{model}'"),
            UnknownOutput { output } => {
                write!(f, "unexpected inference output '{output}' for model '{model}'")
            }
            InputCount { least, most, got, missing } => {
                write_input_count(f, model, (*least, *most), got, missing)
            }
            NoData { input } => {
                write!(f, "unable to find data for input tensor '{input}' for model '{model}' in request.")
            }
            NoShape { input } => {
                write!(f, "input '{input}' has no shape but model requires batch dimension for '{model}'")
            }
            BatchMismatch { input } => {
                write!(f, "input '{input}' batch size does not match other inputs for '{model}'")
            }
            BatchTooLarge { most } => {
                write!(f, "inference request batch-size must be <= {most} for '{model}'")
            }
            EmptyBatch { input } => {
                write!(
                    f,
                    "inference request batch-size must be >= 1 for '{model}', but that of input '{input}' is 0"
                )
            }
            DType { input, got, want } => write!(
                f,
                "inference input '{input}' data-type is '{got}', but model '{model}' expects '{want}'"
            ),
            OpenDimension { input, shape } => write!(
                f,
                "All input dimensions should be specified for input '{input}' for model '{model}', got {shape}"
            ),
            WrongShape { input, want, got, batching } => {
                write!(
                    f,
                    "unexpected shape for input '{input}' for model '{model}'. Expected {want}, got {got}."
                )?;
                if *batching {
                    f.write_str(BATCH_NOTE)?;
                }
                Ok(())
            }
            TooManyElements { input, shape } => write!(
                f,
                "input '{input}' for model '{model}' has the shape {shape}, which is more elements than can be counted"
            ),
            ByteSize { input, want, got } => write!(
                f,
                "input byte size mismatch for input '{input}' for model '{model}'. Expected {want}, got {got}"
            ),
            NoBool { input, place, byte } => write!(
                f,
                "input '{input}' for model '{model}' has the byte {byte} at {place}, but a BOOL is 0 or 1"
            ),
            TooFewStrings { input, want, got } => write!(
                f,
                "expected {want} string elements for inference input '{input}' for model '{model}', got {got}"
            ),
            TooManyStrings { input, want, got } => write!(
                f,
                "unexpected number of string elements {got} for inference input '{input}' for model '{model}', \
                 expecting {want}"
            ),
            StringLength { input, available } => write!(
                f,
                "incomplete string length indicator for inference input '{input}' for model '{model}', expecting 4 \
                 bytes but only {available} bytes available. Please make sure the string length indicator is in one \
                 buffer."
            ),
            StringContent { input, want, available } => write!(
                f,
                "incomplete string data for inference input '{input}' for model '{model}', expecting string of length \
                 {want} but only {available} bytes available"
            ),
            BatchInSequence => write!(
                f,
                "inference request to model '{model}' must specify batch-size 1 due to requirements of sequence batcher"
            ),
            NoSequence => write!(
                f,
                "inference request to model '{model}' must specify a non-zero or non-empty correlation ID"
            ),
            SequenceId { id, dtype } => write!(
                f,
                "inference request for sequence {id} to model '{model}' has a correlation ID that the model cannot be \
                 told, which takes it as {dtype}; use another"
            ),
        }
    }
}

const BATCH_NOTE: &str = " NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to \
                          be prepended to each input shape. If you want to specify the full shape including the batch \
                          dim in your input dims config, try setting max_batch_size to zero. See the model \
                          configuration docs for more info on max_batch_size.";

fn write_input_count(
    f: &mut fmt::Formatter<'_>,
    model: &str,
    (least, most): (usize, usize),
    got: &[String],
    missing: &[String],
) -> fmt::Result {
    let count = got.len();
    if least == most {
        write!(f, "expected {most} inputs but got {count} inputs for model '{model}'.")?;
    } else {
        write!(
            f,
            "expected number of inputs between {least} and {most} but got {count} inputs for model '{model}'."
        )?;
    }
    write!(f, " Got input(s) [{}]", quoted(got))?;
    if !missing.is_empty() {
        write!(
            f,
            ", but missing required input(s) [{}]. Please provide all required input(s).",
            quoted(missing)
        )?;
    }
    Ok(())
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(",")
}
