//! `TRITONSERVER_Parameter`, and the values of parameters as C sees them.

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use nerite_backend::{BackendError, Parameter as Given};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::ParameterType;

use crate::c_api::server::error::c_string;
use crate::guard;
use crate::handle::{self, object};
use crate::pointer::Kept;

/// A name with a value.
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) value: Value,
}

object!(Parameter, Parameter, "TRITONSERVER_Parameter");

/// A value, kept as C reads it.
pub(crate) enum Value {
    String(CString),
    Int(i64),
    Bool(bool),
    Double(f64),
    /// So many bytes of the plugin's, which it keeps there as long as there is the parameter.
    Bytes(Kept<u8>, usize),
}

impl Value {
    /// Its type.
    pub(crate) fn kind(&self) -> ParameterType {
        match self {
            Value::String(_) => ParameterType::STRING,
            Value::Int(_) => ParameterType::INT,
            Value::Bool(_) => ParameterType::BOOL,
            Value::Double(_) => ParameterType::DOUBLE,
            Value::Bytes(..) => ParameterType::BYTES,
        }
    }

    /// Where it is, which it stays as long as nothing moves it.
    pub(crate) fn pointer(&self) -> *const c_void {
        match self {
            Value::String(text) => text.as_ptr().cast(),
            Value::Int(number) => ptr::from_ref(number).cast(),
            Value::Bool(flag) => ptr::from_ref(flag).cast(),
            Value::Double(number) => ptr::from_ref(number).cast(),
            Value::Bytes(base, _) => base.0.cast_const().cast(),
        }
    }
}

impl From<&Given> for Value {
    fn from(given: &Given) -> Value {
        match given {
            Given::Bool(flag) => Value::Bool(*flag),
            Given::Int(number) => Value::Int(*number),
            Given::Double(number) => Value::Double(*number),
            Given::String(text) => Value::String(c_string(text.as_bytes())),
        }
    }
}

/// The name of a type of parameters, for instance `INT`; the server's for good.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ParameterTypeString(kind: ParameterType) -> *const c_char {
    let name = match kind {
        ParameterType::STRING => c"STRING",
        ParameterType::INT => c"INT",
        ParameterType::BOOL => c"BOOL",
        ParameterType::DOUBLE => c"DOUBLE",
        ParameterType::BYTES => c"BYTES",
        _ => c"<invalid>",
    };
    name.as_ptr()
}

/// Makes a parameter with a copy of a value; null where the type is none, or is that of bytes.
///
/// # Safety
/// `name` is a text of C, and `value` points to what `kind` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ParameterNew(
    name: *const c_char,
    kind: ParameterType,
    value: *const c_void,
) -> *mut abi::Parameter {
    guard::value(ptr::null_mut(), || {
        // SAFETY: by the caller's word, for both.
        let (name, value) = unsafe { (guard::text(name, "name")?, read(kind, value)?) };
        handle::export(Parameter { name, value })
    })
}

/// # Safety
/// `value` is null or points to what `kind` says.
unsafe fn read(kind: ParameterType, value: *const c_void) -> Result<Value, BackendError> {
    if value.is_null() {
        return Err(BackendError::invalid("value is NULL, where that of a parameter is needed"));
    }
    // SAFETY: not null, so by the caller's word it points to what the type says. Reading unaligned costs nothing here.
    // A bool of C may be any byte in memory: it is read as one.
    unsafe {
        Ok(match kind {
            ParameterType::STRING => Value::String(c_string(guard::text(value.cast(), "value")?)),
            ParameterType::INT => Value::Int(value.cast::<i64>().read_unaligned()),
            ParameterType::BOOL => Value::Bool(value.cast::<u8>().read() != 0),
            ParameterType::DOUBLE => Value::Double(value.cast::<f64>().read_unaligned()),
            ParameterType::BYTES => {
                return Err(BackendError::invalid(
                    "a parameter of bytes is made by TRITONSERVER_ParameterBytesNew",
                ));
            }
            _ => return Err(BackendError::invalid(format!("{} is no type of parameters", kind.0))),
        })
    }
}

/// Makes a parameter of bytes, which are not copied.
///
/// # Safety
/// `name` is a text of C, and `base` points to `size` bytes that stay as they are until the parameter is deleted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ParameterBytesNew(
    name: *const c_char,
    base: *const c_void,
    size: u64,
) -> *mut abi::Parameter {
    guard::value(ptr::null_mut(), || {
        // SAFETY: by the caller's word.
        let name = unsafe { guard::text(name, "name") }?;
        let size = usize::try_from(size)
            .map_err(|_| BackendError::invalid("the parameter is larger than any memory"))?;
        if base.is_null() && size > 0 {
            return Err(BackendError::invalid("byte_ptr is NULL, where bytes are needed"));
        }
        handle::export(Parameter { name, value: Value::Bytes(Kept(base.cast_mut().cast()), size) })
    })
}

/// Deletes a parameter.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ParameterDelete(parameter: *mut abi::Parameter) {
    guard::value((), || handle::delete::<Parameter>(parameter));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new<T>(kind: ParameterType, value: &T) -> *mut abi::Parameter {
        // SAFETY: the pointers are to what is here.
        unsafe { TRITONSERVER_ParameterNew(c"name".as_ptr(), kind, ptr::from_ref(value).cast()) }
    }

    #[test]
    fn a_parameter_has_a_copy_of_its_value() {
        let mut number = 7_i64;
        let parameter = new(ParameterType::INT, &number);
        number += 1;
        let found = handle::find::<Parameter>(parameter).unwrap();
        assert_eq!((found.name.as_str(), found.value.kind()), ("name", ParameterType::INT));
        // SAFETY: the value is of that type, and the parameter is not deleted.
        assert_eq!(unsafe { found.value.pointer().cast::<i64>().read() }, number - 1);
        drop(found);
        // SAFETY: none is needed.
        unsafe { TRITONSERVER_ParameterDelete(parameter) };
        assert!(handle::find::<Parameter>(parameter).is_err());
        // SAFETY: none is needed.
        unsafe { TRITONSERVER_ParameterDelete(parameter) };
    }

    #[test]
    fn what_is_no_value_makes_no_parameter() {
        assert!(new(ParameterType::BYTES, &7_i64).is_null());
        assert!(new(ParameterType(77), &7_i64).is_null());
        // SAFETY: null pointers are not followed.
        unsafe {
            let null = ptr::null();
            assert!(TRITONSERVER_ParameterNew(c"name".as_ptr(), ParameterType::STRING, null).is_null());
            assert!(TRITONSERVER_ParameterNew(ptr::null(), ParameterType::INT, null).is_null());
            assert!(TRITONSERVER_ParameterBytesNew(c"name".as_ptr(), null, 3).is_null());
        }
    }
}
