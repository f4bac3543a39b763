//! Types of elements.

use std::fmt;

use nerite_plugin_abi as abi;

use crate::error::{Error, Result};

macro_rules! data_types {
    ($($(#[$meta:meta])* $name:ident = $raw:ident, $size:expr;)*) => {
        /// The type of a tensor's elements.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DataType {
            $($(#[$meta])* $name,)*
        }

        impl DataType {
            /// How many bytes an element has; none where it depends on the element.
            pub fn size(self) -> Option<usize> {
                match self {
                    $(DataType::$name => $size,)*
                }
            }

            /// Its name on the wire, as `FP32`; in a configuration `TYPE_` precedes it.
            pub fn name(self) -> &'static str {
                match self {
                    $(DataType::$name => stringify!($raw),)*
                }
            }

            /// The type of that name.
            pub fn from_name(name: &str) -> Option<DataType> {
                match name {
                    $(stringify!($raw) => Some(DataType::$name),)*
                    _ => None,
                }
            }

            pub(crate) fn raw(self) -> abi::DataType {
                match self {
                    $(DataType::$name => abi::DataType::$raw,)*
                }
            }

            pub(crate) fn from_raw(raw: abi::DataType) -> Result<DataType> {
                match raw {
                    $(abi::DataType::$raw => Ok(DataType::$name),)*
                    _ => Err(Error::unsupported(format_args!("tensors of type number {} are not known", raw.0))),
                }
            }
        }
    };
}

data_types! {
    /// A byte, zero or one.
    Bool = BOOL, Some(1);
    /// `u8`
    Uint8 = UINT8, Some(1);
    /// `u16`
    Uint16 = UINT16, Some(2);
    /// `u32`
    Uint32 = UINT32, Some(4);
    /// `u64`
    Uint64 = UINT64, Some(8);
    /// `i8`
    Int8 = INT8, Some(1);
    /// `i16`
    Int16 = INT16, Some(2);
    /// `i32`
    Int32 = INT32, Some(4);
    /// `i64`
    Int64 = INT64, Some(8);
    /// Half precision.
    Fp16 = FP16, Some(2);
    /// `f32`
    Fp32 = FP32, Some(4);
    /// `f64`
    Fp64 = FP64, Some(8);
    /// Half the bits of `f32`.
    Bf16 = BF16, Some(2);
    /// Each element is its length, a `u32`, and then so many bytes.
    Bytes = BYTES, None;
}

impl DataType {
    /// How many bytes a tensor of that shape has; none where that depends on its elements or is no number.
    pub fn byte_size(self, shape: &[i64]) -> Option<usize> {
        shape.iter().try_fold(self.size()?, |bytes, &extent| bytes.checked_mul(usize::try_from(extent).ok()?))
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
