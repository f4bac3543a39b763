use bytes::Bytes;
use nerite_backend::{DType, strings};
use nerite_proto::inference::InferTensorContents;

/// Typed contents in the raw layout, or the name of the type that they hold instead of `dtype`. FP16 and BF16 have no
/// typed contents.
pub(super) fn to_raw(contents: &InferTensorContents, dtype: DType) -> Result<Bytes, &'static str> {
    if let Some(held) = held_instead(contents, dtype) {
        return Err(held);
    }
    Ok(match dtype {
        DType::Bool => contents.bool_contents.iter().map(|&value| u8::from(value)).collect(),
        DType::I8 => contents.int_contents.iter().map(|&value| value as u8).collect(),
        DType::I16 => little_endian(&contents.int_contents, |value| (value as i16).to_le_bytes()),
        DType::I32 => little_endian(&contents.int_contents, i32::to_le_bytes),
        DType::I64 => little_endian(&contents.int64_contents, i64::to_le_bytes),
        DType::U8 => contents.uint_contents.iter().map(|&value| value as u8).collect(),
        DType::U16 => little_endian(&contents.uint_contents, |value| (value as u16).to_le_bytes()),
        DType::U32 => little_endian(&contents.uint_contents, u32::to_le_bytes),
        DType::U64 => little_endian(&contents.uint64_contents, u64::to_le_bytes),
        DType::F32 => little_endian(&contents.fp32_contents, f32::to_le_bytes),
        DType::F64 => little_endian(&contents.fp64_contents, f64::to_le_bytes),
        DType::F16 | DType::BF16 => Bytes::new(),
        DType::Bytes => {
            let mut wire =
                Vec::with_capacity(contents.bytes_contents.iter().map(|element| element.len() + 4).sum());
            contents.bytes_contents.iter().for_each(|element| strings::push(&mut wire, element));
            wire.into()
        }
    })
}

fn little_endian<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Bytes {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

/// The first field that holds something but is not the one for `dtype`, by the name of its widest type.
fn held_instead(contents: &InferTensorContents, dtype: DType) -> Option<&'static str> {
    let fields: [(bool, &[DType], &'static str); 8] = [
        (contents.bool_contents.is_empty(), &[DType::Bool], "BOOL"),
        (contents.int_contents.is_empty(), &[DType::I8, DType::I16, DType::I32], "INT32"),
        (contents.int64_contents.is_empty(), &[DType::I64], "INT64"),
        (contents.uint_contents.is_empty(), &[DType::U8, DType::U16, DType::U32], "UINT32"),
        (contents.uint64_contents.is_empty(), &[DType::U64], "UINT64"),
        (contents.fp32_contents.is_empty(), &[DType::F32], "FP32"),
        (contents.fp64_contents.is_empty(), &[DType::F64], "FP64"),
        (contents.bytes_contents.is_empty(), &[DType::Bytes], "BYTES"),
    ];
    fields.into_iter().find(|(empty, fits, _)| !empty && !fits.contains(&dtype)).map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_contents_become_little_endian_bytes_of_their_width() {
        let contents = InferTensorContents { int_contents: vec![-1, 2], ..Default::default() };
        assert_eq!(to_raw(&contents, DType::I8).unwrap(), [255, 2][..]);
        assert_eq!(to_raw(&contents, DType::I16).unwrap(), [255, 255, 2, 0][..]);
        assert_eq!(to_raw(&contents, DType::I32).unwrap(), [255, 255, 255, 255, 2, 0, 0, 0][..]);
        let contents =
            InferTensorContents { bytes_contents: vec![Bytes::from_static(b"a\0")], ..Default::default() };
        assert_eq!(to_raw(&contents, DType::Bytes).unwrap(), [2, 0, 0, 0, b'a', 0][..]);
    }

    #[test]
    fn contents_of_another_type_are_named() {
        let contents = InferTensorContents { fp32_contents: vec![1.0], ..Default::default() };
        assert_eq!(to_raw(&contents, DType::I32), Err("FP32"));
        assert_eq!(to_raw(&contents, DType::F16), Err("FP32"));
        let both = InferTensorContents { int64_contents: vec![1], ..contents };
        assert_eq!(to_raw(&both, DType::F32), Err("INT64"));
    }
}
