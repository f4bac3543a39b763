//! ONNX Runtime's own messages. Alone in its process, which can have only one subscriber.

mod support;

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use support::Version;
use support::onnx::{Graph, element, floats, initializer, node, tensor};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}

#[test]
fn warnings_of_onnx_runtime_are_events_that_name_the_model() {
    let log = Log::default();
    tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).init();
    let graph = Graph {
        nodes: vec![node("Neg", &["x"], &["y"], &[])],
        initializers: vec![initializer("idle", element::FLOAT, &[1], &floats(&[1.0]))],
        inputs: vec![tensor("x", element::FLOAT, &[1])],
        outputs: vec![tensor("y", element::FLOAT, &[1])],
    };
    Version::new(&graph.model()).load().unwrap();
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    for part in ["WARN", "onnxruntime", "model=test", "'idle'"] {
        assert!(log.contains(part), "no {part} in: {log}");
    }
}
