//! Why a model cannot be loaded, and what to do about it.

use std::path::Path;

use nerite_backend::{BackendError, Code};

use crate::model_file;
use crate::room;
use crate::status::OrtError;

/// What is wrong with a file that ONNX Runtime refused, or with those beside it, in our words where they say more than its own.
pub(crate) fn explain<'a>(
    file: &Path,
    beside: impl Iterator<Item = &'a Path>,
    error: &OrtError,
) -> BackendError {
    if error.code == OrtError::INVALID_PROTOBUF
        && let Some(flaw) = model_file::flaw(file)
    {
        return BackendError::invalid(format!("'{}' {flaw} ({error})", file.display()));
    }
    let found = REMEDIES.iter().find(|remedy| error.message.contains(remedy.words));
    let (code, remedy) = match error.code {
        OrtError::NO_SUCH_FILE => (Code::NotFound, "put the file there"),
        OrtError::NOT_IMPLEMENTED => (Code::Unsupported, OTHER_OPERATORS),
        OrtError::INVALID_PROTOBUF => (Code::InvalidArgument, HALF_COPIED),
        OrtError::INVALID_ARGUMENT | OrtError::INVALID_GRAPH => (Code::InvalidArgument, EXPORT),
        // Its code says nothing of the cause; the words do.
        _ => match found {
            Some(remedy) => (remedy.code, ""),
            None => return BackendError::new(Code::Internal, error.to_string()),
        },
    };
    let remedy = found.map_or(remedy, |found| found.remedy);
    let beside: String = beside.map(|file| format!(", '{}'", file.display())).collect();
    BackendError::new(code, format!("{error}: {remedy} ('{}'{beside})", file.display()))
}

/// What to do about an error with these words.
struct Remedy {
    words: &'static str,
    code: Code,
    remedy: &'static str,
}

const fn remedy(words: &'static str, code: Code, remedy: &'static str) -> Remedy {
    Remedy { words, code, remedy }
}

const NEWER_ONNX_RUNTIME: &str = "use a newer ONNX Runtime, or export the model for an older version";
const OTHER_OPERATORS: &str = "export the model with operators that this ONNX Runtime has: libraries of custom operators \
                               are not supported";
const OTHER_TYPES: &str = "export the model with other types of elements";
const HALF_COPIED: &str = "the file may have been copied in part: copy it again, or export the model anew";
const TRUNCATED: &str = "a file with weights is truncated: copy it again";
const EXPORT: &str = "correct the model and export it anew";

/// The first that fits counts.
const REMEDIES: [Remedy; 15] = [
    remedy("bad_alloc", Code::Unavailable, room::MORE_MEMORY),
    remedy("Failed to allocate memory", Code::Unavailable, room::MORE_MEMORY),
    remedy("under development and support for this is limited", Code::Unsupported, NEWER_ONNX_RUNTIME),
    remedy("Unsupported model IR version", Code::Unsupported, NEWER_ONNX_RUNTIME),
    remedy("is not a registered function/op", Code::Unsupported, OTHER_OPERATORS),
    remedy("No Op registered for", Code::Unsupported, OTHER_OPERATORS),
    remedy("No opset import for domain", Code::Unsupported, OTHER_OPERATORS),
    remedy("is not currently registered or supported", Code::Unsupported, OTHER_TYPES),
    remedy("No graph was found in the protobuf", Code::InvalidArgument, HALF_COPIED),
    remedy("Missing opset in the model", Code::InvalidArgument, HALF_COPIED),
    remedy("Missing model IR version", Code::InvalidArgument, HALF_COPIED),
    remedy("are out of bounds or can not be read in full", Code::InvalidArgument, TRUNCATED),
    remedy("xternal data", Code::InvalidArgument, EXPORT),
    remedy("locale", Code::Unsupported, "install that locale, or export the model with another"),
    remedy("nvalid model", Code::InvalidArgument, EXPORT),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_onnx_runtime_does_not_get_is_told_with_a_remedy() {
        for words in
            ["Exception during initialization: std::bad_alloc", "Failed to allocate memory for 64 bytes"]
        {
            // ORT_RUNTIME_EXCEPTION
            let error = OrtError { code: 6, message: words.to_owned() };
            let told = explain(Path::new("model.onnx"), std::iter::once(Path::new("w.bin")), &error);
            assert_eq!(told.code, Code::Unavailable);
            assert_eq!(
                told.message,
                format!(
                    "onnx runtime error 6: {words}: give the process more memory, or serve fewer or smaller models \
                     ('model.onnx', 'w.bin')"
                )
            );
        }
    }
}
