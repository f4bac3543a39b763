//! Methods that a counterfeit must have and nobody may call, made from NVIDIA's own declarations.

use std::fmt::Write;

/// For each of the three abstract classes that a library implements, a class `Stub…` that has all of its methods.
pub(crate) fn of_header(header: &str) -> String {
    let mut text = String::from("#pragma once\nnamespace nvinfer1 {\nnamespace apiv {\n");
    for class in ["VRuntime", "VCudaEngine", "VExecutionContext"] {
        writeln!(text, "class Stub{class} : public {class} {{\npublic:").unwrap();
        for method in methods(header, class) {
            writeln!(text, "{method}").unwrap();
        }
        text.push_str("};\n");
    }
    text.push_str("}\n}\nusing namespace nvinfer1::apiv;\n");
    text
}

fn methods(header: &str, class: &str) -> Vec<String> {
    let start = header.find(&format!("class {class} : public VRoot")).expect("the header declares the class");
    let body = &header[start..];
    let body = &body[body.find('{').unwrap() + 1..body.find("\n};").unwrap()];
    let mut methods = Vec::new();
    let mut declaration = String::new();
    for line in body.lines().map(str::trim).filter(|line| !line.starts_with("//") && *line != "public:") {
        if line.starts_with('#') {
            methods.push(line.to_owned());
            continue;
        }
        declaration.push_str(line);
        declaration.push(' ');
        if let Some(whole) = declaration.trim_end().strip_suffix("= 0;") {
            let whole = whole.replace("virtual ", "").replace("TRT_NODISCARD ", "");
            let name = whole[..whole.find('(').unwrap()].rsplit([' ', '*', '&']).next().unwrap().to_owned();
            methods.push(format!("{whole} override {{ unexpected(\"{class}::{name}\"); }}"));
            declaration.clear();
        }
    }
    methods
}
