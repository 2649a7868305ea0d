//! The command line: one scenario a file.

mod accounts;
mod chat;
mod idle;
mod login;

use std::future::Future;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use vesta_xmpp::sasl::Mechanism;

use crate::account::{self, Account};
use crate::error::Error;
use crate::process::Processes;
use crate::report::Report;
use crate::target::{Target, TargetArguments};

/// Puts load on an XMPP server and says what it cost. A line of JSON goes to the standard output, the same for people to the
/// standard error.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Command {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Makes accounts by in-band registration (XEP-0077), and writes the file that the other scenarios read.
    Accounts(accounts::Accounts),
    /// Holds sessions that do nothing, and says what memory each takes.
    Idle(idle::Idle),
    /// Sends messages between pairs, as fast as they arrive (closed loop).
    Chat(chat::Chat),
    /// Logs in and out again.
    Login(login::Login),
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
    accounts: PathBuf,
    /// The mechanism of SASL: that of the accounts' keys, or PLAIN.
    #[arg(long, default_value = "SCRAM-SHA-1", value_parser = mechanism)]
    mechanism: Mechanism,
}

impl Common {
    fn open(&self) -> Result<(Target, Vec<Account>), Error> {
        let accounts = account::read_all(&self.accounts)?;
        if accounts.is_empty() {
            return Err(Error::Usage(format!("{} holds no account", self.accounts.display())));
        }
        Ok((Target::new(self.target.clone())?, accounts))
    }
}

impl Command {
    /// Does what was asked.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run(self) -> Result<Report, Error> {
        // One thread: cheaper than many, and the machine's other cores stay the server's.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(Error::system("a runtime"))?.block_on(async {
            match self.scenario {
                Scenario::Accounts(it) => Box::pin(it.run()).await,
                Scenario::Idle(it) => Box::pin(it.run()).await,
                Scenario::Chat(it) => Box::pin(it.run()).await,
                Scenario::Login(it) => Box::pin(it.run()).await,
            }
        })
    }
}

/// A mechanism without channel binding: that would cost this side more than it shows.
fn mechanism(name: &str) -> Result<Mechanism, String> {
    let known = Mechanism::from_name(name).filter(|mechanism| !mechanism.is_plus());
    known.ok_or_else(|| "one of SCRAM-SHA-1, SCRAM-SHA-256, SCRAM-SHA-512, PLAIN".into())
}

/// Runs one future for each item, at most `at_once` at a time. The results come in no order; the first error ends it all.
async fn for_each<I, T, F>(items: I, at_once: usize, act: impl FnMut(I::Item) -> F) -> Result<Vec<T>, Error>
where
    I: IntoIterator,
    F: Future<Output = Result<T, Error>>,
{
    stream::iter(items.into_iter().map(act)).buffer_unordered(at_once.max(1)).try_collect().await
}
