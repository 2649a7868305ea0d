//! Generates the gRPC code from `proto/`, without a `protoc`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = Path::new("../../proto");
    println!("cargo::rerun-if-changed={}", directory.display());
    let files = ["attach.proto", "forward.proto", "raft.proto", "cluster.proto", "administration.proto"];
    tonic_prost_build::configure()
        // A received `bytes` field shares the buffer that it came in.
        .bytes(".")
        // The one message that is written by hand: see there.
        .extern_path(".vesta.v1.Envelope", "crate::convert::WireEnvelope")
        // Passwords and messages of users are never printed.
        .skip_debug(["."])
        .compile_fds(protox::compile(files, [directory])?)?;
    Ok(())
}
