//! ONNX's element types and ours.

use nerite_backend::DType;
use ort::sys::ONNXTensorElementDataType::{self, *};

/// ONNX Runtime's name for an element type.
pub(crate) fn to_onnx(dtype: DType) -> ONNXTensorElementDataType {
    match dtype {
        DType::Bool => ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        DType::U8 => ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        DType::U16 => ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,
        DType::U32 => ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
        DType::U64 => ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,
        DType::I8 => ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        DType::I16 => ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,
        DType::I32 => ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        DType::I64 => ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        DType::F16 => ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        DType::BF16 => ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        DType::F32 => ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        DType::F64 => ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
        DType::Bytes => ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
    }
}

/// The element type of that number in ONNX, unless the protocol has none for it. (A number, because a newer library may
/// have more than the enumeration.)
pub(crate) fn from_onnx(number: i32) -> Option<DType> {
    DType::ALL.into_iter().find(|&dtype| to_onnx(dtype) as i32 == number)
}

/// ONNX's name for an element type that the protocol cannot carry.
pub(crate) fn uncarried_name(number: i32) -> &'static str {
    const NAMES: [(ONNXTensorElementDataType, &str); 13] = [
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX64, "COMPLEX64"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX128, "COMPLEX128"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN, "FLOAT8E4M3FN"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FNUZ, "FLOAT8E4M3FNUZ"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2, "FLOAT8E5M2"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2FNUZ, "FLOAT8E5M2FNUZ"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT4, "UINT4"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_INT4, "INT4"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT4E2M1, "FLOAT4E2M1"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT2, "UINT2"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_INT2, "INT2"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E8M0, "FLOAT8E8M0"),
        (ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED, "UNDEFINED"),
    ];
    NAMES.iter().find(|(known, _)| *known as i32 == number).map_or("unknown", |(_, name)| name)
}
