//! Counterfeits of NVIDIA's libraries, and a server's side of the boundary, as small as can be.
#![allow(dead_code, unsafe_code, clippy::unwrap_used, clippy::panic)]

pub(crate) mod compiler;
mod counterfeits;
mod stubs;

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use libloading::Library;
use nerite_backend::{
    Artifact, Backend, BackendError, Batch, Cancel, Condition, DType, Exchange, Executions, Inputs, Instance,
    InstanceKind, InstanceSpec, Meta, Model, Phases, Request, Responder, Response, Sent, Shape, Slots,
    Tensor,
};
use nerite_tensorrt::{Options, TensorRt};
use parking_lot::Mutex;
use tempfile::TempDir;

/// Which library there is a counterfeit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Ten,
    Eleven,
    Rtx,
}

impl Product {
    pub(crate) const ALL: [Product; 3] = [Product::Ten, Product::Eleven, Product::Rtx];

    /// The headers that it is compiled against, and the first word of its plans.
    pub(crate) fn headers_and_major(self) -> (&'static str, u32) {
        match self {
            Product::Ten => ("tensorrt-10.16", 10),
            Product::Eleven => ("tensorrt-11.4", 11),
            Product::Rtx => ("rtx-1.7", 1),
        }
    }
}

/// A copy of a counterfeit of its own, and so with a state of its own.
pub(crate) struct Counterfeit {
    pub(crate) path: PathBuf,
    library: Library,
}

impl Counterfeit {
    fn new(folder: &TempDir, name: &str, compiled: &PathBuf) -> Counterfeit {
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

    fn use_driver(&self, driver: &Counterfeit) {
        let path = CString::new(driver.path.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: that is its signature.
        unsafe {
            self.library.get::<unsafe extern "C" fn(*const c_char)>("counterfeit_use").unwrap()(
                path.as_ptr(),
            );
        }
    }
}

/// A counterfeit driver and a counterfeit TensorRT, and a folder with a model.
pub(crate) struct World {
    pub(crate) product: Product,
    pub(crate) driver: Counterfeit,
    pub(crate) tensorrt: Counterfeit,
    pub(crate) folder: TempDir,
    pub(crate) configuration: String,
    pub(crate) options: Options,
}

impl World {
    /// A world in which the model is that plan (see `cpp/nvinfer.cpp`), without its first line.
    pub(crate) fn new(product: Product, plan: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let (version, major) = product.headers_and_major();
        let driver = Counterfeit::new(&folder, "libcuda.so.1", &counterfeits::driver());
        let tensorrt = Counterfeit::new(&folder, "libnvinfer.so", &counterfeits::tensorrt(version));
        tensorrt.use_driver(&driver);
        fs::write(folder.path().join("model.plan"), format!("plan {major}\n{plan}")).unwrap();
        let options = Options {
            library: Some(tensorrt.path.clone()),
            driver: Some(driver.path.clone()),
            ..Options::default()
        };
        World { product, driver, tensorrt, folder, configuration: String::new(), options }
    }

    pub(crate) fn backend(&self) -> TensorRt {
        TensorRt::new(self.options.clone())
    }

    pub(crate) fn load_with(&self, backend: &TensorRt) -> Result<Arc<dyn Model>, BackendError> {
        let artifact = Artifact {
            backend: "tensorrt",
            model: "test",
            directory: self.folder.path(),
            repository: self.folder.path(),
            configuration: &self.configuration,
            auto_complete: true,
            ..Artifact::default()
        };
        backend.load(&artifact, &Cancel::default())
    }

    pub(crate) fn load(&self) -> Result<Arc<dyn Model>, BackendError> {
        self.load_with(&self.backend())
    }

    #[track_caller]
    pub(crate) fn refused(&self) -> BackendError {
        match self.load() {
            Ok(_) => panic!("the model was loaded"),
            Err(error) => error,
        }
    }

    /// Nothing is left, and nothing was done that a real library would not have forgiven.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        self.assert_lawful();
        assert_eq!((self.driver.live(), self.tensorrt.live()), (0, 0), "{:?}", self.product);
    }

    #[track_caller]
    pub(crate) fn assert_lawful(&self) {
        let violations = (self.driver.violations(), self.tensorrt.violations());
        assert_eq!(violations, (String::new(), String::new()), "{:?}", self.product);
    }
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) executed: Mutex<Vec<u32>>,
    pub(crate) rerun: Mutex<usize>,
}

impl Executions for Counts {
    fn executed(&self, rows: u32, _phases: &Phases) {
        self.executed.lock().push(rows);
    }

    fn rerun(&self, requests: usize) {
        *self.rerun.lock() += requests;
    }
}

pub(crate) fn spec(name: &str, kind: InstanceKind, batching: bool) -> InstanceSpec {
    let executions = Arc::new(Counts::default());
    InstanceSpec { name: name.to_owned(), kind, batching, ragged: Arc::default(), executions }
}

/// An instance on the first device.
pub(crate) fn instance(model: &Arc<dyn Model>, batching: bool) -> Box<dyn Instance> {
    model.instance(&spec("test_0", InstanceKind::Gpu(0), batching)).unwrap()
}

/// Keeps the answer to one request.
#[derive(Default)]
pub(crate) struct Caller {
    cancel: Cancel,
    response: Mutex<Option<Response>>,
}

impl Exchange for Caller {
    fn respond(&self, response: Response) -> Sent {
        assert!(self.response.lock().replace(response).is_none(), "answered twice");
        Sent::Taken
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    fn report(&self, _phases: &Phases, _result: Result<(), &BackendError>) {}

    fn release(&self) {}
}

pub(crate) type Answer = Result<BTreeMap<usize, Tensor>, BackendError>;

impl Caller {
    pub(crate) fn request(self: &Arc<Self>, inputs: Vec<Tensor>, wanted: Slots, rows: u32) -> Request {
        let responder = Responder::new(Arc::clone(self) as Arc<dyn Exchange>);
        let inputs = Inputs::from_vec(inputs.into_iter().map(Some).collect());
        Request::new(inputs, wanted, rows, Meta::default(), responder)
    }

    #[track_caller]
    pub(crate) fn answer(&self) -> Answer {
        let response = self.response.lock().take().expect("the request was answered");
        match response.error {
            Some(error) => Err(error),
            None => Ok(response.outputs.into_iter().collect()),
        }
    }
}

/// What one request tells of the instance.
pub(crate) fn condition(instance: &mut dyn Instance, inputs: Vec<Tensor>, outputs: usize) -> Condition {
    let caller = Arc::new(Caller::default());
    instance.execute(Batch::from(caller.request(inputs, Slots::all(outputs), 1)))
}

/// One request for the first `outputs` outputs.
#[track_caller]
pub(crate) fn infer(instance: &mut dyn Instance, inputs: Vec<Tensor>, outputs: usize) -> Answer {
    let caller = Arc::new(Caller::default());
    instance.execute(Batch::from(caller.request(inputs, Slots::all(outputs), 1)));
    caller.answer()
}

pub(crate) fn tensor(dtype: DType, shape: &[i64], bytes: impl Into<Vec<u8>>) -> Tensor {
    Tensor::new(dtype, Shape::new(shape), Bytes::from(bytes.into()))
}

#[track_caller]
pub(crate) fn assert_output(answer: &Answer, slot: usize, dtype: DType, shape: &[i64], bytes: &[u8]) {
    let tensor = answer.as_ref().expect("an answer").get(&slot).expect("the output is there");
    assert_eq!((tensor.dtype, &tensor.shape[..]), (dtype, shape));
    assert_eq!(tensor.data.contiguous().unwrap(), bytes);
}
