//! What the core may know of.

use std::process::Command;

#[test]
fn the_core_depends_on_no_network_protocol_and_no_engine() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "nerite-core", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"nerite-backend"), "the list is the core's: {names:?}");
    for foreign in
        ["tonic", "prost", "ort", "libloading", "nerite-proto", "nerite-onnxruntime", "nerite-tensorrt"]
    {
        assert!(!names.contains(&foreign), "{foreign} is among the dependencies: {names:?}");
    }
}
