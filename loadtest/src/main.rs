//! The binary `vesta-loadtest`: puts load on an XMPP server and says what it cost.
//!
//! | file | subject |
//! |---|---|
//! | [`command`] | the command line, one scenario a file |
//! | [`crew`] | a scenario in this process or in several, and what is read while they wait for each other |
//! | [`target`] | where the server is, and connections to it from many addresses |
//! | [`login`] | a stream brought up with little work on this side |
//! | [`account`] | the file of accounts, with keys derived beforehand |
//! | [`contacts`] | users with rosters |
//! | [`management`] | streams on which both sides count (XEP-0198) |
//! | [`probe`] | messages that carry a number and a time, found again in raw bytes |
//! | [`pair`] | two connections, one of which writes probes to the other |
//! | [`schedule`], [`ticker`] | the open loop: when what is to be sent, and a clock that is fine enough |
//! | [`order`] | what was lost, doubled or overtaken |
//! | [`recorder`], [`tally`] | what is counted and timed in one process, and of all together |
//! | [`random`] | chance that can be repeated |
//! | [`process`], [`disks`] | what processes have used: CPU, memory, context switches; what disks have written |
//! | [`report`], [`circumstances`] | figures for people and for programs, and where they are from |
//! | [`progress`] | how far a run has come |
//! | [`for_each`] | many things at once, but not too many |
//! | [`runs`], [`page`], [`compare`] | what runs have shown: read, drawn, side by side |
//! | [`relay`] | bytes from socket to socket: the physical reference |

mod account;
mod circumstances;
mod command;
mod compare;
mod contacts;
mod crew;
mod disks;
mod error;
mod for_each;
mod login;
mod management;
mod order;
mod page;
mod pair;
mod probe;
mod process;
mod progress;
mod random;
mod recorder;
mod relay;
mod report;
mod runs;
mod schedule;
mod tally;
mod target;
mod ticker;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command::Command::parse().run() {
        Ok(report) => {
            if let Some(report) = report {
                eprint!("{report}");
                println!("{}", report.to_json());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("vesta-loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}
