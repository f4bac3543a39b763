use crate::{DType, Data, Shape};

/// Elements of one type in one shape. Strings stay in their wire layout: each behind its length as a little-endian
/// `u32`.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// The type of every element.
    pub dtype: DType,
    /// The extents; every one is zero or more.
    pub shape: Shape,
    /// The elements in row-major order.
    pub data: Data,
}

impl Tensor {
    /// A tensor of these parts. That the data fits type and shape is for whoever makes it to see to.
    pub fn new(dtype: DType, shape: Shape, data: impl Into<Data>) -> Tensor {
        Tensor { dtype, shape, data: data.into() }
    }
}
