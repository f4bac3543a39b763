//! Types of elements.

numbers! {
    /// `TRITONSERVER_DataType`: the type of a tensor's elements.
    DataType {
        /// `TRITONSERVER_TYPE_INVALID`: not a type.
        INVALID = 0,
        /// `TRITONSERVER_TYPE_BOOL`: a byte, zero or one.
        BOOL = 1,
        /// `TRITONSERVER_TYPE_UINT8`
        UINT8 = 2,
        /// `TRITONSERVER_TYPE_UINT16`
        UINT16 = 3,
        /// `TRITONSERVER_TYPE_UINT32`
        UINT32 = 4,
        /// `TRITONSERVER_TYPE_UINT64`
        UINT64 = 5,
        /// `TRITONSERVER_TYPE_INT8`
        INT8 = 6,
        /// `TRITONSERVER_TYPE_INT16`
        INT16 = 7,
        /// `TRITONSERVER_TYPE_INT32`
        INT32 = 8,
        /// `TRITONSERVER_TYPE_INT64`
        INT64 = 9,
        /// `TRITONSERVER_TYPE_FP16`
        FP16 = 10,
        /// `TRITONSERVER_TYPE_FP32`
        FP32 = 11,
        /// `TRITONSERVER_TYPE_FP64`
        FP64 = 12,
        /// `TRITONSERVER_TYPE_BYTES`: each element is its length, four bytes, little-endian, and then so many bytes.
        BYTES = 13,
        /// `TRITONSERVER_TYPE_BF16`
        BF16 = 14,
    }
}
