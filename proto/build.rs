//! Compiles `tacit.proto` without an installed `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=tacit.proto");
    let files = protox::compile(["tacit.proto"], ["."])?;
    prost_build::Config::new()
        // A box stays a view into the frame that carried it: nothing is copied on decode.
        .bytes(["."])
        .compile_fds(files)?;
    Ok(())
}
