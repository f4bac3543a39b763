//! What loaded models cost in threads. Alone in its process, because it counts all of them.
#![allow(clippy::unwrap_used)]

mod support;

use nerite_backend::DType;
use support::onnx::{element, floats, identity};
use support::{Version, infer, tensor};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn loaded_models_add_no_threads_unless_they_ask_for_some() {
    let model = identity(element::FLOAT, &[-1]);
    let serve = |version: &Version| {
        let model = version.load().unwrap();
        infer(&model, vec![tensor(DType::F32, &[1], floats(&[1.0]))]).unwrap();
        model
    };
    let version = Version::new(&model);
    let first = serve(&version);
    let before = threads();
    let more: Vec<_> = (0..50).map(|_| serve(&version)).collect();
    assert_eq!(threads(), before);

    let greedy = serve(&Version::new(&model).with("intra_op_thread_count", "4"));
    assert_eq!(threads(), before + 3, "the caller's thread is the fourth");
    drop((first, more, greedy));
    assert_eq!(threads(), before);
}
