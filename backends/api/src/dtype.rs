use std::fmt;

/// An element type that the wire protocol can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an IEEE 754 single.
    BF16,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
    /// Strings of any bytes, each behind its length as a little-endian `u32`.
    Bytes,
}

impl DType {
    /// Every element type.
    pub const ALL: [DType; 14] = [
        DType::Bool,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
        DType::Bytes,
    ];

    /// The name in requests and metadata (KServe v2), for instance `FP32`.
    pub fn wire_name(self) -> &'static str {
        match self {
            DType::Bool => "BOOL",
            DType::U8 => "UINT8",
            DType::U16 => "UINT16",
            DType::U32 => "UINT32",
            DType::U64 => "UINT64",
            DType::I8 => "INT8",
            DType::I16 => "INT16",
            DType::I32 => "INT32",
            DType::I64 => "INT64",
            DType::F16 => "FP16",
            DType::BF16 => "BF16",
            DType::F32 => "FP32",
            DType::F64 => "FP64",
            DType::Bytes => "BYTES",
        }
    }

    /// The element type of that wire name.
    pub fn from_wire_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|dtype| dtype.wire_name() == name)
    }

    /// The name in a model configuration, for instance `TYPE_FP32`; strings are `TYPE_STRING` there.
    pub fn config_name(self) -> &'static str {
        match self {
            DType::Bool => "TYPE_BOOL",
            DType::U8 => "TYPE_UINT8",
            DType::U16 => "TYPE_UINT16",
            DType::U32 => "TYPE_UINT32",
            DType::U64 => "TYPE_UINT64",
            DType::I8 => "TYPE_INT8",
            DType::I16 => "TYPE_INT16",
            DType::I32 => "TYPE_INT32",
            DType::I64 => "TYPE_INT64",
            DType::F16 => "TYPE_FP16",
            DType::BF16 => "TYPE_BF16",
            DType::F32 => "TYPE_FP32",
            DType::F64 => "TYPE_FP64",
            DType::Bytes => "TYPE_STRING",
        }
    }

    /// The size of an element in bytes; `None` for [`DType::Bytes`], whose elements differ in size.
    pub fn size(self) -> Option<usize> {
        match self {
            DType::Bool | DType::U8 | DType::I8 => Some(1),
            DType::U16 | DType::I16 | DType::F16 | DType::BF16 => Some(2),
            DType::U32 | DType::I32 | DType::F32 => Some(4),
            DType::U64 | DType::I64 | DType::F64 => Some(8),
            DType::Bytes => None,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wire_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_name_leads_back_to_its_type() {
        for dtype in DType::ALL {
            assert_eq!(DType::from_wire_name(dtype.wire_name()), Some(dtype));
        }
        assert_eq!(DType::from_wire_name("FP8"), None);
    }
}
