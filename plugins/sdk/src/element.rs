//! Rust's own types as elements of tensors.

use crate::data_type::DataType;

/// A number of Rust's that is an element of tensors as it is.
pub trait Element: bytemuck::Pod {
    /// Its type in tensors.
    const DATA_TYPE: DataType;
}

macro_rules! elements {
    ($($element:ty: $data_type:ident;)*) => {
        $(
            impl Element for $element {
                const DATA_TYPE: DataType = DataType::$data_type;
            }
        )*
    };
}

elements! {
    u8: Uint8;
    u16: Uint16;
    u32: Uint32;
    u64: Uint64;
    i8: Int8;
    i16: Int16;
    i32: Int32;
    i64: Int64;
    f32: Fp32;
    f64: Fp64;
}
