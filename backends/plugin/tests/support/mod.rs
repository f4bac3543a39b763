//! Plugins in C, compiled for the tests, and what stands for the server.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use nerite_backend::{
    Artifact, Backend, BackendError, Batch, Cancel, DType, Data, Exchange, Executions, Instance,
    InstanceKind, InstanceSpec, Meta, Model, Phases, Request, Responder, Response, Sent, Shape, Slots,
    Tensor,
};
use nerite_plugin_host::{Options, Plugins};
use tempfile::TempDir;

/// A configuration of one FP32 input `x` and one output `y` of any length.
pub(crate) const CONFIG: &str = r#"{"name": "m", "max_batch_size": 0,
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1]}]}"#;

/// A directory of backends, and models of them.
pub(crate) struct Plugged {
    directory: TempDir,
    plugins: Plugins,
}

impl Plugged {
    /// No backend yet.
    pub(crate) fn new() -> Plugged {
        let directory = tempfile::tempdir().unwrap();
        let options =
            Options { directory: directory.path().to_owned(), auto_complete: true, ..Options::default() };
        Plugged { directory, plugins: Plugins::new(options) }
    }

    /// Where the library of a backend of that name belongs.
    pub(crate) fn library(&self, name: &str) -> PathBuf {
        let folder = self.directory.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder.join(format!("libtriton_{name}.so"))
    }

    /// Compiles `tests/plugins/<source>.c` as the backend of that name.
    pub(crate) fn with(self, name: &str, source: &str, flags: &[&str]) -> Plugged {
        compile(&source_path(source), &self.library(name), flags);
        self
    }

    /// Compiles a text as the backend of that name.
    pub(crate) fn with_text(self, name: &str, text: &str, flags: &[&str]) -> Plugged {
        let source = self.directory.path().join(format!("{name}.c"));
        std::fs::write(&source, format!("#include \"triton.h\"\n{text}")).unwrap();
        compile(&source, &self.library(name), flags);
        self
    }

    /// Compiles a text in C++ as the backend of that name.
    pub(crate) fn with_cpp(self, name: &str, text: &str, flags: &[&str]) -> Plugged {
        let source = self.directory.path().join(format!("{name}.cpp"));
        let header = "#include <cstdlib>\n#include <cstring>\nextern \"C\" {\n#include \"triton.h\"\n}";
        std::fs::write(&source, format!("{header}\n{text}")).unwrap();
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".to_owned());
        compile_with(&compiler, &source, &self.library(name), flags);
        self
    }

    /// Loads a model of that backend.
    pub(crate) fn load(&self, backend: &str, config: &str) -> Result<Arc<dyn Model>, BackendError> {
        let artifact = Artifact {
            backend,
            model: "m",
            directory: self.directory.path(),
            repository: self.directory.path(),
            configuration: config,
            auto_complete: true,
            ..Artifact::default()
        };
        self.plugins.load(&artifact, &Cancel::default())
    }

    /// Loads a model of that backend with an instance.
    pub(crate) fn start(&self, backend: &str, config: &str) -> Served {
        let model = self.load(backend, config).unwrap();
        let account = Arc::new(Account::default());
        let instance = instance(&*model, &account).unwrap();
        Served { instance: Some(instance), model, account }
    }
}

/// Makes an instance.
pub(crate) fn instance(model: &dyn Model, account: &Arc<Account>) -> Result<Box<dyn Instance>, BackendError> {
    model.instance(&InstanceSpec {
        name: "m_0_0".to_owned(),
        kind: InstanceKind::Cpu,
        batching: false,
        ragged: Arc::default(),
        executions: Arc::clone(account) as Arc<dyn Executions>,
    })
}

fn source_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins").join(format!("{name}.c"))
}

fn compile(source: &Path, library: &Path, flags: &[&str]) {
    compile_with("cc", source, library, flags);
}

fn compile_with(compiler: &str, source: &Path, library: &Path, flags: &[&str]) {
    let output = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wno-unused-function", "-pthread", "-I"])
        .arg(source_path("x").parent().unwrap())
        .arg("-o")
        .args([library, source])
        .args(flags)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A model with an instance, which goes first.
pub(crate) struct Served {
    pub(crate) instance: Option<Box<dyn Instance>>,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) account: Arc<Account>,
}

impl Served {
    /// Executes requests, each with these values as its input.
    pub(crate) fn execute(&mut self, requests: &[&[f32]]) -> Vec<Arc<Caller>> {
        let callers: Vec<Arc<Caller>> = requests.iter().map(|_| Arc::default()).collect();
        let requests = requests.iter().zip(&callers).map(|(values, caller)| request(values, caller));
        let batch = Batch::new(requests.collect());
        self.instance.as_mut().unwrap().execute(batch);
        callers
    }
}

/// A request with these values as its input `x`.
pub(crate) fn request(values: &[f32], caller: &Arc<Caller>) -> Request {
    let bytes: Bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = Tensor::new(DType::F32, Shape::new(&[values.len() as i64]), Data::from(bytes));
    request_of(vec![Some(tensor)], Meta::default(), caller)
}

/// A request with these inputs.
pub(crate) fn request_of(inputs: Vec<Option<Tensor>>, meta: Meta, caller: &Arc<Caller>) -> Request {
    let responder = Responder::new(Arc::new(Engine(Arc::clone(caller))));
    Request::new(inputs.into(), Slots::all(1), 1, meta, responder)
}

/// What the account of a model is told.
#[derive(Default)]
pub(crate) struct Account(pub(crate) Mutex<Vec<u32>>);

impl Executions for Account {
    fn executed(&self, rows: u32, _: &Phases) {
        self.0.lock().unwrap().push(rows);
    }

    fn rerun(&self, _: usize) {}
}

/// Who made a request: what came of it.
#[derive(Default)]
pub(crate) struct Caller {
    pub(crate) responses: Mutex<Vec<Response>>,
    pub(crate) reports: Mutex<Vec<Result<(), BackendError>>>,
    pub(crate) cancel: Cancel,
    /// How often the request was released, and whether nobody can answer it any more.
    pub(crate) released: Mutex<usize>,
    pub(crate) over: Mutex<bool>,
}

impl Caller {
    /// The values of the only output of the only response.
    #[track_caller]
    pub(crate) fn values(&self) -> Vec<f32> {
        let responses = self.responses.lock().unwrap();
        let [Response { error: None, outputs, .. }] = responses.as_slice() else { panic!("{responses:?}") };
        let bytes = outputs[0].1.data.clone().into_bytes();
        bytes.chunks_exact(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect()
    }

    /// The error of the only response.
    #[track_caller]
    pub(crate) fn error(&self) -> BackendError {
        let responses = self.responses.lock().unwrap();
        let [Response { error: Some(error), .. }] = responses.as_slice() else { panic!("{responses:?}") };
        error.clone()
    }

    /// Whether the request is over: released once, and nothing can answer it.
    #[track_caller]
    pub(crate) fn assert_over(&self) {
        assert_eq!((*self.released.lock().unwrap(), *self.over.lock().unwrap()), (1, true));
    }
}

struct Engine(Arc<Caller>);

impl Exchange for Engine {
    fn respond(&self, response: Response) -> Sent {
        self.0.responses.lock().unwrap().push(response);
        Sent::Taken
    }

    fn cancel(&self) -> &Cancel {
        &self.0.cancel
    }

    fn report(&self, _: &Phases, result: Result<(), &BackendError>) {
        self.0.reports.lock().unwrap().push(result.map_err(BackendError::clone));
    }

    fn release(&self) {
        *self.0.released.lock().unwrap() += 1;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        *self.0.over.lock().unwrap() = true;
    }
}

/// Runs all other tests of the program again where every access to memory is watched, and what is lost of it is found.
#[track_caller]
pub(crate) fn watched(this: &str) {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: valgrind is not there; on Debian or Ubuntu: apt-get install valgrind");
        return;
    }
    let options = ["--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite", "--error-exitcode=9"];
    let output = Command::new("valgrind")
        .args(options)
        .arg("--show-leak-kinds=definite")
        .arg(std::env::current_exe().unwrap())
        .args(["--test-threads=1", "--skip", this])
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}
