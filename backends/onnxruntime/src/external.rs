//! Which of a model's tensors are kept in files beside it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::path::Path;

use crate::protobuf::{Reader, Value, malformed};

/// A tensor in another file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct External {
    pub(crate) name: String,
    /// The file, from the model's directory.
    pub(crate) location: String,
    /// Where it begins, as the model says it: a number in digits, or nothing for 0.
    pub(crate) offset: String,
    /// How many bytes it has, in the same way, or nothing for as many as its type and shape say.
    pub(crate) length: String,
    /// Whether it belongs to an inner graph, of a branch or a loop.
    pub(crate) is_inner: bool,
}

/// Messages within messages. Protobuf's own limit.
const DEEPEST: u32 = 100;

/// Looks through the model in that file, without reading the tensors that are in it.
///
/// # Errors
/// `InvalidData` if the file does not hold a message, and what reading it gives.
pub(crate) fn find(model: &Path) -> io::Result<Vec<External>> {
    let file = File::open(model)?;
    let end = file.metadata()?.len();
    let mut scan =
        Scan { reader: Reader::new(BufReader::new(file)), found: Vec::new(), depth: 0, is_inner: false };
    scan.model(end)?;
    Ok(scan.found)
}

struct Scan<R> {
    reader: Reader<R>,
    found: Vec<External>,
    depth: u32,
    is_inner: bool,
}

/// How a field is gone into.
type Enter<R> = fn(&mut Scan<R>, u64) -> io::Result<()>;

// The numbers are those of `onnx.proto`.
impl<R: BufRead + Seek> Scan<R> {
    fn model(&mut self, end: u64) -> io::Result<()> {
        // `graph`, `functions`
        self.message(end, &[(7, Self::graph), (25, Self::function)])
    }

    fn function(&mut self, end: u64) -> io::Result<()> {
        // `node`
        self.message(end, &[(7, Self::node)])
    }

    fn graph(&mut self, end: u64) -> io::Result<()> {
        // `node`, `initializer`, `sparse_initializer`
        self.message(end, &[(1, Self::node), (5, Self::tensor), (15, Self::sparse_tensor)])
    }

    fn node(&mut self, end: u64) -> io::Result<()> {
        // `attribute`
        self.message(end, &[(5, Self::attribute)])
    }

    fn attribute(&mut self, end: u64) -> io::Result<()> {
        let (tensor, graph, sparse): (Enter<R>, Enter<R>, Enter<R>) =
            (Self::tensor, Self::graph, Self::sparse_tensor);
        let was_inner = std::mem::replace(&mut self.is_inner, true);
        // `t`, `g`, `tensors`, `graphs`, `sparse_tensor`, `sparse_tensors`
        self.message(end, &[(5, tensor), (6, graph), (10, tensor), (11, graph), (22, sparse), (23, sparse)])?;
        self.is_inner = was_inner;
        Ok(())
    }

    fn sparse_tensor(&mut self, end: u64) -> io::Result<()> {
        // `values`, `indices`
        self.message(end, &[(1, Self::tensor), (2, Self::tensor)])
    }

    /// Goes into the fields with these numbers.
    fn message(&mut self, end: u64, entries: &[(u64, Enter<R>)]) -> io::Result<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(malformed());
        }
        while let Some((field, value)) = self.reader.field(end)? {
            let entry = entries.iter().find(|(number, _)| *number == field);
            match (entry, value) {
                (Some((_, enter)), Value::Bytes { end }) => enter(self, end)?,
                _ => self.reader.skip(value)?,
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn tensor(&mut self, end: u64) -> io::Result<()> {
        let mut tensor = External { is_inner: self.is_inner, ..External::default() };
        let mut is_external = false;
        while let Some((field, value)) = self.reader.field(end)? {
            match (field, value) {
                (8, Value::Bytes { end }) => tensor.name = self.reader.text(end)?,
                (13, Value::Bytes { end }) => self.entry(end, &mut tensor)?,
                (14, Value::Number(location)) => is_external = location == 1,
                _ => self.reader.skip(value)?,
            }
        }
        if is_external {
            self.found.push(tensor);
        }
        Ok(())
    }

    /// A key and its value, of `external_data`.
    fn entry(&mut self, end: u64, tensor: &mut External) -> io::Result<()> {
        let (mut key, mut text) = (String::new(), String::new());
        while let Some((field, value)) = self.reader.field(end)? {
            match (field, value) {
                (1, Value::Bytes { end }) => key = self.reader.text(end)?,
                (2, Value::Bytes { end }) => text = self.reader.text(end)?,
                _ => self.reader.skip(value)?,
            }
        }
        match key.as_str() {
            "location" => tensor.location = text,
            "offset" => tensor.offset = text,
            "length" => tensor.length = text,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "../tests/support/onnx.rs"]
mod onnx;

#[cfg(test)]
mod tests {
    use super::onnx::{
        Graph, Message, element, external_initializer, external_initializer_with, graph_attribute,
        initializer, node, tensor_attribute,
    };
    use super::*;

    fn find_in(model: &[u8]) -> io::Result<Vec<External>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), model).unwrap();
        find(file.path())
    }

    #[test]
    fn tensors_in_other_files_are_found_wherever_they_are() {
        let external = |name, file| external_initializer(name, element::FLOAT, &[2, 3], file);
        let inner = Graph { initializers: vec![external("i", "inner.bin")], ..Graph::default() };
        let place = [("location", "weights.bin"), ("offset", "8"), ("length", "24")];
        let graph = Graph {
            nodes: vec![
                node("If", &["c"], &["y"], &[graph_attribute("then_branch", &inner)]),
                node("Constant", &[], &["k"], &[tensor_attribute("value", &external("t", "constant.bin"))]),
            ],
            initializers: vec![
                initializer("here", element::FLOAT, &[3000], &[0; 12000]),
                external_initializer_with("w", element::FLOAT, &[2, 3], &place),
            ],
            ..Graph::default()
        };
        let found = find_in(&graph.model()).unwrap();
        let inner = |name: &str, location: &str| External {
            name: name.to_owned(),
            location: location.to_owned(),
            is_inner: true,
            ..External::default()
        };
        let w = External {
            offset: "8".to_owned(),
            length: "24".to_owned(),
            is_inner: false,
            ..inner("w", "weights.bin")
        };
        assert_eq!(found, [inner("i", "inner.bin"), inner("t", "constant.bin"), w]);
    }

    #[test]
    fn a_model_that_goes_deeper_than_protobuf_may_is_no_message() {
        let graph = |inner: Message| {
            let attribute = Message::default().bytes(6, inner.0);
            Message::default().bytes(1, Message::default().bytes(5, attribute.0).0)
        };
        let deep = |levels| (0..levels).fold(Message::default(), |inner, _| graph(inner));
        let model = |graph: Message| Message::default().bytes(7, graph.0).0;
        assert_eq!(find_in(&model(deep(30))).unwrap(), []);
        assert_eq!(find_in(&model(deep(40))).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
