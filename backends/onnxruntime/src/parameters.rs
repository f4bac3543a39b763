use std::collections::BTreeMap;
use std::ffi::CString;

use nerite_backend::BackendError;

use crate::accelerators;
use crate::place::Place;

/// No machine has use for more, and a number with a slip of the finger in it must not bring the process down.
const MOST_THREADS: u16 = 1024;

/// What a model's configuration asks of ONNX Runtime through its `parameters`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// Threads of the model's own within an operator; 0 for no wish.
    pub(crate) intra_op_threads: u16,
    /// Threads of the model's own across operators; 0 for no wish.
    pub(crate) inter_op_threads: u16,
    /// Whether branches of the graph run at once.
    pub(crate) parallel: bool,
    /// Whether memory is kept between runs.
    pub(crate) memory_arena: Option<bool>,
    /// Whether a run's memory is planned from those before.
    pub(crate) memory_pattern: Option<bool>,
    /// Of which places the arenas give memory back after each run.
    pub(crate) shrunk_arenas: Vec<Place>,
    /// Whether initializers bypass the arena.
    pub(crate) device_allocator_for_initializers: Option<bool>,
}

impl Parameters {
    /// Reads a configuration's `parameters`, under the names that Triton has for them. Those it does not know may be
    /// meant for others and are passed over.
    pub(crate) fn read(parameters: &BTreeMap<String, String>) -> Result<Parameters, BackendError> {
        let mut read = Parameters::default();
        for (key, value) in parameters {
            match key.as_str() {
                "intra_op_thread_count" => read.intra_op_threads = parse_threads(key, value)?,
                "inter_op_thread_count" => read.inter_op_threads = parse_threads(key, value)?,
                "execution_mode" => read.parallel = parse_execution_mode(value)?,
                "enable_mem_arena" => read.memory_arena = Some(parse_switch(key, value)?),
                "enable_mem_pattern" => read.memory_pattern = Some(parse_switch(key, value)?),
                "memory.enable_memory_arena_shrinkage" => read.shrunk_arenas = parse_arenas(key, value)?,
                "session.use_device_allocator_for_initializers" => {
                    read.device_allocator_for_initializers = Some(parse_switch(key, value)?);
                }
                key if accelerators::is_parameter(key) => {}
                _ => tracing::debug!(
                    parameter = key,
                    "the onnxruntime backend does not know this model parameter"
                ),
            }
        }
        if read.shrunk_arenas.contains(&Place::Cpu) && read.memory_arena == Some(false) {
            return Err(BackendError::invalid(
                "memory.enable_memory_arena_shrinkage asks for an arena to be shrunk that enable_mem_arena turns off",
            ));
        }
        Ok(read)
    }

    /// The arenas that are shrunk after a run at that place, as ONNX Runtime lists them; `None` if none is.
    pub(crate) fn arenas_to_shrink(&self, place: Place) -> Option<CString> {
        let here = self.shrunk_arenas.iter().filter(|&&arena| arena == Place::Cpu || arena == place);
        let names: Vec<String> = here.map(Place::to_string).collect();
        CString::new(names.join(";")).ok().filter(|list| !list.is_empty())
    }
}

/// A number of threads.
pub(crate) fn parse_threads(key: &str, value: &str) -> Result<u16, BackendError> {
    let threads = value.trim().parse().ok().filter(|&threads| threads <= MOST_THREADS);
    threads.ok_or_else(|| unfit(key, value, format_args!("a whole number from 0 to {MOST_THREADS}")))
}

/// True or false, in any of the ways in which Triton takes it.
pub(crate) fn parse_switch(key: &str, value: &str) -> Result<bool, BackendError> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(unfit(key, value, format_args!("1 or true, 0 or false"))),
    }
}

fn parse_execution_mode(value: &str) -> Result<bool, BackendError> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(unfit("execution_mode", value, format_args!("0 (sequential) or 1 (parallel)"))),
    }
}

fn parse_arenas(key: &str, value: &str) -> Result<Vec<Place>, BackendError> {
    let arena = |name: &str| match name.trim().split_once(':') {
        Some(("cpu", "0")) => Some(Place::Cpu),
        Some(("gpu", number)) => number.parse().ok().map(Place::Gpu),
        _ => None,
    };
    let arenas: Option<Vec<Place>> = value.split(';').map(arena).collect();
    arenas.ok_or_else(|| {
        unfit(key, value, format_args!("arenas with semicolons between them, cpu:0;gpu:1 for instance"))
    })
}

fn unfit(key: &str, value: &str, expected: std::fmt::Arguments<'_>) -> BackendError {
    BackendError::invalid(format!("parameter '{key}': expected {expected}, got '{value}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &[(&str, &str)]) -> Result<Parameters, BackendError> {
        Parameters::read(
            &parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        )
    }

    #[test]
    fn every_parameter_is_read_under_the_name_that_triton_has_for_it() {
        let parameters = read(&[
            ("intra_op_thread_count", "2"),
            ("inter_op_thread_count", "3"),
            ("execution_mode", "1"),
            ("enable_mem_arena", "true"),
            ("enable_mem_pattern", "0"),
            ("memory.enable_memory_arena_shrinkage", "gpu:1;cpu:0"),
            ("gpu_mem_limit", "read elsewhere"),
            ("session.use_device_allocator_for_initializers", "1"),
            ("somebody_elses", "anything"),
        ]);
        let expected = Parameters {
            intra_op_threads: 2,
            inter_op_threads: 3,
            parallel: true,
            memory_arena: Some(true),
            memory_pattern: Some(false),
            shrunk_arenas: vec![Place::Gpu(1), Place::Cpu],
            device_allocator_for_initializers: Some(true),
        };
        assert_eq!(parameters, Ok(expected.clone()));
        for (place, arenas) in
            [(Place::Cpu, c"cpu:0"), (Place::Gpu(1), c"gpu:1;cpu:0"), (Place::Gpu(0), c"cpu:0")]
        {
            assert_eq!(expected.arenas_to_shrink(place).as_deref(), Some(arenas), "{place}");
        }
        assert_eq!(Parameters::default().arenas_to_shrink(Place::Cpu), None);
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error_that_names_the_parameter_and_what_it_takes() {
        for (key, value, expected) in [
            ("intra_op_thread_count", "many", "a whole number from 0 to 1024"),
            ("intra_op_thread_count", "100000", "a whole number from 0 to 1024"),
            ("inter_op_thread_count", "-1", "a whole number from 0 to 1024"),
            ("execution_mode", "2", "0 (sequential) or 1 (parallel)"),
            ("enable_mem_arena", "yes", "1 or true, 0 or false"),
            ("enable_mem_pattern", "", "1 or true, 0 or false"),
            ("memory.enable_memory_arena_shrinkage", "gpu:x", "cpu:0;gpu:1 for instance"),
            ("memory.enable_memory_arena_shrinkage", "cpu:1", "cpu:0;gpu:1 for instance"),
        ] {
            let error = read(&[(key, value)]).unwrap_err();
            assert!(error.message.contains(key) && error.message.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_arena_that_is_off_cannot_be_shrunk() {
        let error = read(&[("enable_mem_arena", "0"), ("memory.enable_memory_arena_shrinkage", "cpu:0")])
            .unwrap_err();
        assert!(error.message.contains("turns off"), "{error}");
    }
}
