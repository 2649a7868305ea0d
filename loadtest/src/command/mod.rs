//! The command line: one scenario a file.

mod accounts;
mod archive;
mod chat;
mod idle;
mod login;
mod mixed;
mod offline;
mod presence;
mod relay;
mod resume;
mod storm;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use vesta_xmpp::sasl::Mechanism;

use crate::account::{self, Account};
use crate::circumstances::Circumstances;
use crate::compare;
use crate::crew::{CrewArguments, Scenario};
use crate::error::Error;
use crate::page;
use crate::process::Processes;
use crate::report::Report;
use crate::target::{Target, TargetArguments};

/// Puts load on an XMPP server and says what it cost. A line of JSON goes to the standard output, the same for people to the
/// standard error.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Makes accounts by in-band registration (XEP-0077), and writes the file that the other scenarios read.
    Accounts(Measured<accounts::Accounts>),
    /// Holds sessions that do nothing, and says what each takes.
    Idle(Measured<idle::Idle>),
    /// Sends messages between pairs: as fast as they arrive (closed loop), or at a fixed rate (open loop).
    Chat(Measured<chat::Chat>),
    /// Logs in and out again.
    Login(Measured<login::Login>),
    /// Changes presence, and counts what arrives at contacts.
    Presence(Measured<presence::Presence>),
    /// Logs all users in at once, until each has seen all contacts.
    Storm(Measured<storm::Storm>),
    /// Cuts the connections of all sessions and lets them resume their streams (XEP-0198).
    Resume(Measured<resume::Resume>),
    /// Sends messages to accounts that are offline, and has them fetched (XEP-0160).
    Offline(Measured<offline::Offline>),
    /// Reads pages of archives at several places (XEP-0313).
    Archive(Measured<archive::Archive>),
    /// A bit of everything, as on a common day.
    Mixed(Measured<mixed::Mixed>),
    /// Serves as the physical reference for `chat --relay`.
    Relay(relay::Relay),
    /// Makes a page, or tables in Markdown, of what runs have shown.
    Page(page::Page),
    /// Puts what two files of runs have shown side by side.
    Compare(compare::Compare),
}

/// A scenario, and what any is told.
#[derive(Debug, Args)]
struct Measured<S: Args> {
    #[command(flatten)]
    scenario: S,
    #[command(flatten)]
    crew: CrewArguments,
    /// What is measured, as the results are to call it.
    #[arg(long)]
    label: Option<String>,
}

impl<S: Args + Scenario> Measured<S> {
    fn run(self) -> Result<Option<Report>, Error> {
        let circumstances = Circumstances::now(self.label);
        let report = self.crew.run(&self.scenario)?;
        Ok(report.map(|report| circumstances.add_to(report)))
    }
}

/// What all scenarios but the first are told.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    processes: Processes,
    /// The file of accounts.
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// The mechanism of SASL: that of the accounts' keys, or PLAIN.
    #[arg(long, default_value = "SCRAM-SHA-1", value_parser = mechanism)]
    mechanism: Mechanism,
}

impl Common {
    fn open(&self) -> Result<(Target, Vec<Account>), Error> {
        let path = self.accounts.as_ref().ok_or_else(|| Error::Usage("--accounts is missing".into()))?;
        let accounts = account::read_all(path)?;
        if accounts.is_empty() {
            return Err(Error::Usage(format!("{} holds no account", path.display())));
        }
        Ok((Target::new(self.target.clone())?, accounts))
    }
}

impl Command {
    /// Does what was asked. `None`: there is nothing to report.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run(self) -> Result<Option<Report>, Error> {
        match self.task {
            Task::Accounts(it) => it.run(),
            Task::Idle(it) => it.run(),
            Task::Chat(it) => it.run(),
            Task::Login(it) => it.run(),
            Task::Presence(it) => it.run(),
            Task::Storm(it) => it.run(),
            Task::Resume(it) => it.run(),
            Task::Offline(it) => it.run(),
            Task::Archive(it) => it.run(),
            Task::Mixed(it) => it.run(),
            Task::Relay(it) => it.run().map(|()| None),
            Task::Page(it) => it.run().map(|()| None),
            Task::Compare(it) => it.run().map(|()| None),
        }
    }
}

/// A mechanism without channel binding: that would cost this side more than it shows.
fn mechanism(name: &str) -> Result<Mechanism, String> {
    let known = Mechanism::from_name(name).filter(|mechanism| !mechanism.is_plus());
    known.ok_or_else(|| "one of SCRAM-SHA-1, SCRAM-SHA-256, SCRAM-SHA-512, PLAIN".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::net::TcpListener;

    use crate::relay;

    /// What a scenario reports that runs against a bare relay.
    fn run_against_relay(arguments: &[&str]) -> serde_json::Value {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("it is bound").to_string();
        runtime.spawn(relay::serve(listener));
        let command = ["vesta-loadtest", "chat", "--relay", &address, "--pairs", "4", "--label", "relay"];
        let command = Command::try_parse_from(command.iter().chain(arguments)).expect("well-formed");
        let report = command.run().expect("the relay works").expect("a scenario reports");
        serde_json::from_str(&report.to_json()).expect("JSON")
    }

    fn assert_nothing_went_wrong(report: &serde_json::Value) {
        for name in ["lost", "doubled", "overtaken", "refused", "unsent"] {
            assert_eq!(report[name], 0, "{name}");
        }
        let sum = |pairs: &serde_json::Value| {
            let pairs = pairs.as_array().into_iter().flatten();
            pairs.filter_map(|pair| pair[1].as_u64()).sum::<u64>()
        };
        assert_eq!(report["messages"].as_u64(), Some(sum(&report["timeline"])));
        assert!(sum(&report["latency_histogram"]) > 0);
        assert_eq!(report["label"], "relay");
    }

    #[test]
    fn a_closed_loop_measures_as_many_messages_as_asked_for() {
        let report = run_against_relay(&["--messages", "2000", "--warm-up", "100"]);
        assert_nothing_went_wrong(&report);
        assert!(report["messages"].as_u64() >= Some(2000), "{report}");
        assert_eq!(report["window"], 10);
    }

    #[test]
    fn an_open_loop_sends_everything_that_was_meant() {
        let report = run_against_relay(&["--rate", "2000", "--seconds", "1"]);
        assert_nothing_went_wrong(&report);
        assert_eq!(report["rate"], 2000);
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Command::command().debug_assert();
    }
}
