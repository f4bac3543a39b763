use std::path::PathBuf;

use nerite_backend::BackendError;

use crate::parameters::{parse_switch, parse_threads};

/// How ONNX Runtime is to be used by this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The library, if it is not to be searched for.
    pub library: Option<PathBuf>,
    /// Whether sessions share one thread pool. If not, each has threads of its own.
    pub global_thread_pool: bool,
    /// How many threads share the work of one operator; 0 for as many as the process may use CPUs.
    pub intra_op_threads: u16,
    /// How many operators may run at once in a model whose `execution_mode` is parallel; 0 for as many as the process
    /// may use CPUs.
    pub inter_op_threads: u16,
}

impl Default for Options {
    fn default() -> Options {
        Options { library: None, global_thread_pool: true, intra_op_threads: 0, inter_op_threads: 0 }
    }
}

impl Options {
    /// Sets an option by its name on the command line (`--backend-config=onnxruntime,KEY=VALUE`): `library`,
    /// `enable-global-threadpool`, `intra_op_thread_count` or `inter_op_thread_count`. Fails for any other and for a
    /// value that does not fit, saying what was expected.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), BackendError> {
        match key {
            "library" if value.is_empty() => return Err(BackendError::invalid("library: expected a path")),
            "library" => self.library = Some(PathBuf::from(value)),
            "enable-global-threadpool" => self.global_thread_pool = parse_switch(key, value)?,
            "intra_op_thread_count" => self.intra_op_threads = parse_threads(key, value)?,
            "inter_op_thread_count" => self.inter_op_threads = parse_threads(key, value)?,
            _ => {
                return Err(BackendError::invalid(format!(
                    "the onnxruntime backend has no option '{key}'; it has library, enable-global-threadpool, \
                     intra_op_thread_count and inter_op_thread_count"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_set_by_their_command_line_names() {
        let mut options = Options::default();
        options.set("library", "/opt/libonnxruntime.so").unwrap();
        options.set("enable-global-threadpool", "0").unwrap();
        options.set("intra_op_thread_count", "1").unwrap();
        options.set("inter_op_thread_count", "3").unwrap();
        let library = Some(PathBuf::from("/opt/libonnxruntime.so"));
        let expected =
            Options { library, global_thread_pool: false, intra_op_threads: 1, inter_op_threads: 3 };
        assert_eq!(options, expected);
    }

    #[test]
    fn an_unknown_option_or_a_value_that_does_not_fit_is_an_error_that_names_it() {
        for (key, value, part) in [
            ("librari", "x", "no option 'librari'"),
            ("library", "", "expected a path"),
            ("enable-global-threadpool", "maybe", "enable-global-threadpool"),
            ("intra_op_thread_count", "-1", "intra_op_thread_count"),
        ] {
            let error = Options::default().set(key, value).unwrap_err();
            assert!(error.message.contains(part), "{error}");
        }
    }
}
