//! Element types, as both sides number them.

use nerite_backend::DType;
use nerite_plugin_abi::DataType;

/// Each type, and what it is in the C API.
const TYPES: [(DType, DataType); 14] = [
    (DType::Bool, DataType::BOOL),
    (DType::U8, DataType::UINT8),
    (DType::U16, DataType::UINT16),
    (DType::U32, DataType::UINT32),
    (DType::U64, DataType::UINT64),
    (DType::I8, DataType::INT8),
    (DType::I16, DataType::INT16),
    (DType::I32, DataType::INT32),
    (DType::I64, DataType::INT64),
    (DType::F16, DataType::FP16),
    (DType::F32, DataType::FP32),
    (DType::F64, DataType::FP64),
    (DType::Bytes, DataType::BYTES),
    (DType::BF16, DataType::BF16),
];

/// The type in the C API.
pub(crate) fn to_abi(dtype: DType) -> DataType {
    TYPES.iter().find(|(known, _)| *known == dtype).map_or(DataType::INVALID, |(_, number)| *number)
}

/// The type of the C API, if it is one.
pub(crate) fn from_abi(number: DataType) -> Option<DType> {
    TYPES.iter().find(|(_, known)| *known == number).map(|(dtype, _)| *dtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_leads_back_to_itself() {
        for dtype in DType::ALL {
            assert_eq!(from_abi(to_abi(dtype)), Some(dtype));
        }
        assert_eq!((from_abi(DataType::INVALID), from_abi(DataType(15))), (None, None));
    }
}
