//! Counterfeits of NVIDIA's libraries, and a server's side of the boundary, as small as can be.
#![allow(dead_code, unsafe_code, clippy::unwrap_used, clippy::panic)]

#[path = "../../../api/tests/support/caller.rs"]
mod caller;
#[path = "../../../cuda/tests/support/compiler.rs"]
pub(crate) mod compiler;
#[path = "../../../cuda/tests/support/counterfeit.rs"]
mod counterfeit;
mod counterfeits;
mod stubs;

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
pub(crate) use caller::{Answer, Caller, Counts};
pub(crate) use counterfeit::Counterfeit;
use nerite_backend::{
    Artifact, Backend, BackendError, Batch, Cancel, Condition, DType, Instance, InstanceKind, InstanceSpec,
    Model, Shape, Slots, Tensor,
};
use nerite_tensorrt::{Options, TensorRt};
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
        let driver = Counterfeit::new(&folder, "libcuda.so.1", &counterfeit::driver());
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

pub(crate) fn spec(name: &str, kind: InstanceKind, batching: bool) -> InstanceSpec {
    let executions = Arc::new(Counts::default());
    InstanceSpec { name: name.to_owned(), kind, batching, ragged: Arc::default(), executions }
}

/// An instance on the first device.
pub(crate) fn instance(model: &Arc<dyn Model>, batching: bool) -> Box<dyn Instance> {
    model.instance(&spec("test_0", InstanceKind::Gpu(0), batching)).unwrap()
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
