//! Generates the Rust code and the descriptor set of the contract under `proto/`; needs no `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use protox::Compiler;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=proto");

    let mut compiler = Compiler::new(["proto"])?;
    compiler.include_imports(true).open_file("grpc_service.proto")?;

    // The generator turns the comments of the sources into documentation; reflection has no use for them.
    let documented = compiler.include_source_info(true).file_descriptor_set();
    let bare = compiler.include_source_info(false).encode_file_descriptor_set();
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?);
    fs::write(out_dir.join("inference.bin"), bare)?;

    tonic_prost_build::configure()
        .bytes(".")
        .build_transport(false)
        .compile_fds_with_config(documented, Default::default())?;
    Ok(())
}
