use std::fmt::Display;

use nerite_backend::{DType, strings};

/// The strongest classes of each row, as strings in wire layout.
pub(super) struct Classes {
    pub(super) wire: Vec<u8>,
    /// How many classes each row has.
    pub(super) width: usize,
}

/// The `count` largest elements of each of `rows` rows as `value:index` or `value:index:label`, largest first; `None` if
/// elements of that type have no order.
pub(super) fn classify(
    dtype: DType,
    bytes: &[u8],
    rows: usize,
    count: usize,
    labels: &[String],
) -> Option<Classes> {
    match dtype {
        DType::U8 => Some(top(bytes, rows, count, labels, u8::from_le_bytes, u8::cmp)),
        DType::U16 => Some(top(bytes, rows, count, labels, u16::from_le_bytes, u16::cmp)),
        DType::U32 => Some(top(bytes, rows, count, labels, u32::from_le_bytes, u32::cmp)),
        DType::U64 => Some(top(bytes, rows, count, labels, u64::from_le_bytes, u64::cmp)),
        DType::I8 => Some(top(bytes, rows, count, labels, i8::from_le_bytes, i8::cmp)),
        DType::I16 => Some(top(bytes, rows, count, labels, i16::from_le_bytes, i16::cmp)),
        DType::I32 => Some(top(bytes, rows, count, labels, i32::from_le_bytes, i32::cmp)),
        DType::I64 => Some(top(bytes, rows, count, labels, i64::from_le_bytes, i64::cmp)),
        DType::F32 => {
            let read = |bytes| Decimal(f64::from(f32::from_le_bytes(bytes)));
            Some(top::<_, 4>(bytes, rows, count, labels, read, |a, b| a.0.total_cmp(&b.0)))
        }
        DType::F64 => {
            let read = |bytes| Decimal(f64::from_le_bytes(bytes));
            Some(top::<_, 8>(bytes, rows, count, labels, read, |a, b| a.0.total_cmp(&b.0)))
        }
        DType::Bool | DType::F16 | DType::BF16 | DType::Bytes => None,
    }
}

/// A number that shows six decimals, as in Triton's class strings.
#[derive(Clone, Copy)]
struct Decimal(f64);

impl Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

fn top<T: Copy + Display, const N: usize>(
    bytes: &[u8],
    rows: usize,
    count: usize,
    labels: &[String],
    read: impl Fn([u8; N]) -> T,
    compare: impl Fn(&T, &T) -> std::cmp::Ordering,
) -> Classes {
    let (elements, _) = bytes.as_chunks::<N>();
    let per_row = elements.len() / rows.max(1);
    let width = count.min(per_row);
    let mut wire = Vec::new();
    for row in elements.chunks(per_row.max(1)) {
        let mut ranked: Vec<(usize, T)> = row.iter().map(|&bytes| read(bytes)).enumerate().collect();
        ranked.sort_by(|(_, a), (_, b)| compare(b, a));
        for (index, value) in ranked.into_iter().take(width) {
            let class = match labels.get(index).filter(|label| !label.is_empty()) {
                Some(label) => format!("{value}:{index}:{label}"),
                None => format!("{value}:{index}"),
            };
            strings::push(&mut wire, class.as_bytes());
        }
    }
    Classes { wire, width }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(dtype: DType, bytes: &[u8], rows: usize, count: usize, labels: &[&str]) -> Vec<String> {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let classes = classify(dtype, bytes, rows, count, &labels).expect("the type has an order");
        let read = strings::elements(&classes.wire)
            .map(|element| String::from_utf8(element.unwrap().into()).unwrap());
        read.collect()
    }

    #[test]
    fn the_largest_come_first_with_index_and_label() {
        let bytes: Vec<u8> = [0.25f32, 0.5, -1.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(classes(DType::F32, &bytes, 1, 2, &["cat", "dog"]), ["0.500000:1:dog", "0.250000:0:cat"]);
        assert_eq!(classes(DType::F32, &bytes, 1, 9, &[]).len(), 3);
    }

    #[test]
    fn every_row_of_a_batch_is_ranked_by_itself() {
        assert_eq!(classes(DType::U8, &[1, 9, 8, 2], 2, 1, &["a"]), ["9:1", "8:0:a"]);
        assert!(classes(DType::U8, &[], 0, 3, &[]).is_empty());
    }

    #[test]
    fn strings_and_half_floats_have_no_classes() {
        assert!(classify(DType::Bytes, &[], 1, 1, &[]).is_none());
        assert!(classify(DType::F16, &[0, 0], 1, 1, &[]).is_none());
    }
}
