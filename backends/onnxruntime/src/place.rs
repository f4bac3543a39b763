use std::fmt;

use nerite_backend::InstanceKind;

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// On the processor.
    Cpu,
    /// On the GPU of that number.
    Gpu(u32),
}

impl Place {
    /// Where an instance of that kind has its session. A model that may choose for itself chooses the processor.
    pub(crate) fn of(kind: InstanceKind) -> Place {
        match kind {
            InstanceKind::Gpu(ordinal) => Place::Gpu(ordinal),
            InstanceKind::Cpu | InstanceKind::Model => Place::Cpu,
        }
    }
}

/// ONNX Runtime's name for its arena, `gpu:1` for instance.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Cpu => f.write_str("cpu:0"),
            Place::Gpu(ordinal) => write!(f, "gpu:{ordinal}"),
        }
    }
}
