//! Compiles `src/content.proto` and `src/backup.proto` without an installed `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=src/content.proto");
    println!("cargo:rerun-if-changed=src/backup.proto");
    let files = protox::compile(["content.proto", "backup.proto"], ["src"])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
