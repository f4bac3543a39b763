//! Models made on the spot, and repositories of them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::onnx::{Graph, element, floats, graph_attribute, initializer, longs, node, tensor};

/// The width of [`slow`]'s rows.
pub const SLOW_WIDTH: usize = 256;

/// A model repository that lives as long as this.
pub struct Repository {
    folder: TempDir,
}

impl Repository {
    /// One without models.
    pub fn empty() -> anyhow::Result<Repository> {
        Ok(Repository { folder: tempfile::tempdir()? })
    }

    /// The same with version 1 of one more model; an empty `config` leaves all of it to the daemon.
    pub fn with(self, name: &str, model: &[u8], config: &str) -> anyhow::Result<Repository> {
        let folder = self.path().join(name);
        fs::create_dir_all(folder.join("1"))?;
        fs::write(folder.join("1/model.onnx"), model)?;
        if !config.is_empty() {
            fs::write(folder.join("config.pbtxt"), config)?;
        }
        Ok(self)
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// `y = x + x` over FP32 of that shape, where -1 is any extent.
pub fn double(shape: &[i64]) -> Vec<u8> {
    Graph {
        nodes: vec![node("Add", &["x", "x"], &["y"], &[])],
        inputs: vec![tensor("x", element::FLOAT, shape)],
        outputs: vec![tensor("y", element::FLOAT, shape)],
        ..Graph::default()
    }
    .model()
}

/// `y = x` over FP32 [b,256], by as many multiplications with the identity matrix as there are steps: some 2.5 µs
/// each.
pub fn slow(steps: i64) -> Vec<u8> {
    let width = SLOW_WIDTH as i64;
    let mut matrix = vec![0.0; SLOW_WIDTH * SLOW_WIDTH];
    matrix.iter_mut().step_by(SLOW_WIDTH + 1).for_each(|value| *value = 1.0);
    let body = Graph {
        nodes: vec![
            node("MatMul", &["in", "matrix"], &["out"], &[]),
            node("Identity", &["go_in"], &["go_out"], &[]),
        ],
        inputs: vec![
            tensor("step", element::INT64, &[]),
            tensor("go_in", element::BOOL, &[]),
            tensor("in", element::FLOAT, &[-1, width]),
        ],
        outputs: vec![tensor("go_out", element::BOOL, &[]), tensor("out", element::FLOAT, &[-1, width])],
        ..Graph::default()
    };
    Graph {
        nodes: vec![node("Loop", &["steps", "go", "x"], &["y"], &[graph_attribute("body", &body)])],
        initializers: vec![
            initializer("matrix", element::FLOAT, &[width, width], &floats(&matrix)),
            initializer("steps", element::INT64, &[], &longs(&[steps])),
            initializer("go", element::BOOL, &[], &[1]),
        ],
        inputs: vec![tensor("x", element::FLOAT, &[-1, width])],
        outputs: vec![tensor("y", element::FLOAT, &[-1, width])],
    }
    .model()
}
