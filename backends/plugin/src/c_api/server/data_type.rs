//! Versions, and the names of what the API counts with numbers.

use std::ffi::{CStr, c_char};

use nerite_backend::DType;
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{DataType, InstanceGroupKind, MemoryType};

use crate::guard;

/// The API's number of an element type.
pub(crate) fn to_abi(dtype: DType) -> DataType {
    match dtype {
        DType::Bool => DataType::BOOL,
        DType::U8 => DataType::UINT8,
        DType::U16 => DataType::UINT16,
        DType::U32 => DataType::UINT32,
        DType::U64 => DataType::UINT64,
        DType::I8 => DataType::INT8,
        DType::I16 => DataType::INT16,
        DType::I32 => DataType::INT32,
        DType::I64 => DataType::INT64,
        DType::F16 => DataType::FP16,
        DType::BF16 => DataType::BF16,
        DType::F32 => DataType::FP32,
        DType::F64 => DataType::FP64,
        DType::Bytes => DataType::BYTES,
    }
}

/// The element type of the API's number, if it is one's.
pub(crate) fn from_abi(number: DataType) -> Option<DType> {
    DType::ALL.into_iter().find(|&dtype| to_abi(dtype) == number)
}

/// The version of the functions whose names begin with `TRITONSERVER_`.
///
/// # Safety
/// `major` and `minor` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ApiVersion(major: *mut u32, minor: *mut u32) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        guard::store(major, "major", abi::SERVER_API_VERSION_MAJOR)?;
        guard::store(minor, "minor", abi::SERVER_API_VERSION_MINOR)
    })
}

/// The name of an element type, for instance `FP32`; the server's for good.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_DataTypeString(datatype: DataType) -> *const c_char {
    let name = match datatype {
        DataType::BOOL => c"BOOL",
        DataType::UINT8 => c"UINT8",
        DataType::UINT16 => c"UINT16",
        DataType::UINT32 => c"UINT32",
        DataType::UINT64 => c"UINT64",
        DataType::INT8 => c"INT8",
        DataType::INT16 => c"INT16",
        DataType::INT32 => c"INT32",
        DataType::INT64 => c"INT64",
        DataType::FP16 => c"FP16",
        DataType::FP32 => c"FP32",
        DataType::FP64 => c"FP64",
        DataType::BYTES => c"BYTES",
        DataType::BF16 => c"BF16",
        _ => c"<invalid>",
    };
    name.as_ptr()
}

/// The element type of that name.
///
/// # Safety
/// `name` is null or a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_StringToDataType(name: *const c_char) -> DataType {
    if name.is_null() {
        return DataType::INVALID;
    }
    // SAFETY: not null, so by the caller's word it is a text.
    let name = unsafe { CStr::from_ptr(name) }.to_str();
    name.ok().and_then(DType::from_wire_name).map_or(DataType::INVALID, to_abi)
}

/// The size of an element in bytes; 0 where elements differ.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_DataTypeByteSize(datatype: DataType) -> u32 {
    // A size is 8 at most.
    from_abi(datatype).and_then(DType::size).unwrap_or(0) as u32
}

/// The name of a kind of memory; the server's for good.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MemoryTypeString(memory_type: MemoryType) -> *const c_char {
    let name = match memory_type {
        MemoryType::CPU => c"CPU",
        MemoryType::CPU_PINNED => c"CPU_PINNED",
        MemoryType::GPU => c"GPU",
        _ => c"<invalid>",
    };
    name.as_ptr()
}

/// The name of a kind of instances; the server's for good.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InstanceGroupKindString(kind: InstanceGroupKind) -> *const c_char {
    let name = match kind {
        InstanceGroupKind::AUTO => c"AUTO",
        InstanceGroupKind::CPU => c"CPU",
        InstanceGroupKind::GPU => c"GPU",
        InstanceGroupKind::MODEL => c"MODEL",
        _ => c"<invalid>",
    };
    name.as_ptr()
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn every_element_type_has_its_number_its_name_and_its_size() {
        for dtype in DType::ALL {
            let number = to_abi(dtype);
            // SAFETY: the names are texts.
            unsafe {
                let name = TRITONSERVER_DataTypeString(number);
                assert_eq!(CStr::from_ptr(name).to_str(), Ok(dtype.wire_name()));
                assert_eq!(TRITONSERVER_StringToDataType(name), number);
                assert_eq!(TRITONSERVER_DataTypeByteSize(number) as usize, dtype.size().unwrap_or(0));
            }
        }
        // SAFETY: texts and a null pointer.
        unsafe {
            assert_eq!(TRITONSERVER_StringToDataType(c"FP8".as_ptr()), DataType::INVALID);
            assert_eq!(TRITONSERVER_StringToDataType(ptr::null()), DataType::INVALID);
            assert_eq!(TRITONSERVER_DataTypeByteSize(DataType(99)), 0);
        }
    }
}
