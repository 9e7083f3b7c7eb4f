//! Compiles `src/content.proto` without an installed `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=src/content.proto");
    let files = protox::compile(["content.proto"], ["src"])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
