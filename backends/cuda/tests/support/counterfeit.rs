//! Counterfeits of NVIDIA's libraries, as tests see them.
#![allow(dead_code, unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::fs;
use std::path::PathBuf;

use libloading::Library;
use tempfile::TempDir;

use super::compiler::{Source, headers};

/// The driver, compiled.
pub(crate) fn driver() -> PathBuf {
    let source = Source {
        text: include_str!("cuda.cpp"),
        header: None,
        headers: headers("cuda"),
        flags: vec!["-shared".to_owned(), "-fPIC".to_owned()],
        name: "libcuda.so",
    };
    source.compile()
}

/// A copy of a counterfeit of its own, and so with a state of its own.
pub(crate) struct Counterfeit {
    pub(crate) path: PathBuf,
    library: Library,
}

impl Counterfeit {
    /// A copy in that folder.
    pub(crate) fn new(folder: &TempDir, name: &str, compiled: &PathBuf) -> Counterfeit {
        let path = folder.path().join(name);
        fs::copy(compiled, &path).unwrap();
        // SAFETY: the library was made for this.
        let library = unsafe { Library::new(&path) }.unwrap();
        Counterfeit { path, library }
    }

    fn text(&self, function: &str) -> String {
        // SAFETY: these functions of the counterfeits take nothing and give a C string.
        unsafe {
            let ask = self.library.get::<unsafe extern "C" fn() -> *const c_char>(function).unwrap();
            CStr::from_ptr(ask()).to_str().unwrap().to_owned()
        }
    }

    /// What was called since the last time, one after the other.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.text("counterfeit_calls").lines().map(str::to_owned).collect()
    }

    /// How often a function was called since the last time.
    pub(crate) fn count(&self, function: &str) -> usize {
        self.calls().iter().filter(|call| call.starts_with(&format!("{function}("))).count()
    }

    /// What a real library would not have forgiven.
    pub(crate) fn violations(&self) -> String {
        self.text("counterfeit_violations")
    }

    /// How many things there are that are yet to be released.
    pub(crate) fn live(&self) -> i32 {
        // SAFETY: the function takes nothing and gives a number.
        unsafe { self.library.get::<unsafe extern "C" fn() -> c_int>("counterfeit_live").unwrap()() }
    }

    /// Has a call of that function fail, after so many that do not. A sticky failure is that of all further calls.
    pub(crate) fn fail(&self, function: &str, after: i32, code: i32, sticky: bool) {
        let function = CString::new(function).unwrap();
        type Fail = unsafe extern "C" fn(*const c_char, c_int, c_int, c_int);
        // SAFETY: that is its signature.
        unsafe {
            self.library.get::<Fail>("counterfeit_fail").unwrap()(
                function.as_ptr(),
                after,
                code,
                sticky.into(),
            )
        }
    }

    /// How many devices there are, and how much memory.
    pub(crate) fn limits(&self, devices: i32, memory: usize) {
        type Limits = unsafe extern "C" fn(c_int, usize);
        // SAFETY: that is its signature.
        unsafe { self.library.get::<Limits>("counterfeit_limits").unwrap()(devices, memory) }
    }

    /// The version that a counterfeit of TensorRT says it is.
    pub(crate) fn version(&self, version: i32) {
        // SAFETY: that is its signature.
        unsafe { self.library.get::<unsafe extern "C" fn(c_int)>("counterfeit_version").unwrap()(version) }
    }

    /// Has a counterfeit use that driver.
    pub(crate) fn use_driver(&self, driver: &Counterfeit) {
        self.tell("counterfeit_use", driver.path.to_str().unwrap());
    }

    /// Calls a function of the counterfeit that takes a text.
    pub(crate) fn tell(&self, function: &str, text: &str) {
        let text = CString::new(text).unwrap();
        // SAFETY: such functions have this signature, and copy the text.
        unsafe { self.library.get::<unsafe extern "C" fn(*const c_char)>(function).unwrap()(text.as_ptr()) }
    }
}
