//! TensorRT's element types and ours.

use nerite_backend::DType;

/// In the order of `nvinfer1::DataType`.
const TYPES: [(&str, Option<DType>); 12] = [
    ("FP32", Some(DType::F32)),
    ("FP16", Some(DType::F16)),
    ("INT8", Some(DType::I8)),
    ("INT32", Some(DType::I32)),
    ("BOOL", Some(DType::Bool)),
    ("UINT8", Some(DType::U8)),
    ("FP8", None),
    ("BF16", Some(DType::BF16)),
    ("INT64", Some(DType::I64)),
    ("INT4", None),
    ("FP4", None),
    ("E8M0", None),
];

/// The element type of that number, or TensorRT's name for one that the protocol cannot carry.
pub(crate) fn of_number(number: i32) -> Result<DType, String> {
    match usize::try_from(number).ok().and_then(|number| TYPES.get(number)) {
        Some((_, Some(dtype))) => Ok(*dtype),
        Some((name, None)) => Err((*name).to_owned()),
        None => Err(format!("number {number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_both_sides_have_is_served_and_others_are_named() {
        let served: Vec<DType> = (0..12).filter_map(|number| of_number(number).ok()).collect();
        let expected =
            [DType::F32, DType::F16, DType::I8, DType::I32, DType::Bool, DType::U8, DType::BF16, DType::I64];
        assert_eq!(served, expected);
        assert_eq!(of_number(6), Err("FP8".to_owned()));
        assert_eq!(of_number(12), Err("number 12".to_owned()));
        assert_eq!(of_number(-1), Err("number -1".to_owned()));
    }
}
