//! Has the tests offer the functions of Triton's backend C API to the libraries that they load, and compiles what catches
//! exceptions of C++, where there is a compiler for it.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/boundary.cpp");
    println!("cargo::rustc-link-arg-tests=-Wl,--export-dynamic-symbol=TRITON*");
    println!("cargo::rustc-check-cfg=cfg(catches_exceptions)");
    match compile_boundary() {
        Ok(()) => println!("cargo::rustc-cfg=catches_exceptions"),
        Err(problem) => println!(
            "cargo::warning=built without what catches exceptions of C++ that plugins let out: {problem}; for that, install \
             g++ and touch backends/plugin/build.rs"
        ),
    }
}

/// The runtime of C++ is linked statically: the daemon is not to load one before a plugin brings its own.
fn compile_boundary() -> Result<(), String> {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").cpp_link_stdlib(None).file("src/boundary.cpp");
    let compiler = build.try_get_compiler().map_err(|error| error.to_string())?;
    let mut command = compiler.to_command();
    command.arg("-print-file-name=libstdc++.a");
    let output = command.output().map_err(|error| format!("{} {error}", compiler.path().display()))?;
    // A compiler that has no such file answers with the bare name.
    let archive = String::from_utf8_lossy(&output.stdout);
    if !Path::new(archive.trim()).is_absolute() {
        return Err(format!("{} has no libstdc++.a", compiler.path().display()));
    }
    build.try_compile("nerite_boundary").map_err(|error| error.to_string())?;
    println!("cargo::rustc-link-lib=static:-bundle=stdc++");
    Ok(())
}
