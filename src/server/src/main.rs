//! The binary `vesta`.

use std::process::ExitCode;

use clap::Parser;
use vesta_server::command::Command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One provider for the whole process; a second installation would be a bug of this file.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("vesta: a TLS provider was installed twice");
        return ExitCode::FAILURE;
    }
    match Command::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("vesta: {failure}");
            failure.exit_code()
        }
    }
}
