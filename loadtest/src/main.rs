//! The binary `vesta-loadtest`: puts load on an XMPP server and says what it cost.
//!
//! | file | subject |
//! |---|---|
//! | [`command`] | the command line, one scenario a file |
//! | [`target`] | where the server is, and connections to it from many addresses |
//! | [`login`] | a stream brought up with little work on this side |
//! | [`account`] | the file of accounts, with keys derived beforehand |
//! | [`probe`] | messages that carry a number and a time, found again in raw bytes |
//! | [`order`] | what was lost, doubled or overtaken |
//! | [`process`] | what processes have used: CPU, memory, context switches |
//! | [`report`] | figures for people and for programs |

mod account;
mod command;
mod error;
mod login;
mod order;
mod probe;
mod process;
mod report;
mod target;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command::Command::parse().run() {
        Ok(report) => {
            eprint!("{report}");
            println!("{}", report.to_json());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("vesta-loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}
