//! `accounts`: makes accounts by in-band registration, logs each in once, and keeps what SCRAM derives.

use std::path::PathBuf;

use clap::Args;
use vesta_client::Stream;
use vesta_xmpp::payload::register::Register;
use vesta_xmpp::sasl::Mechanism;
use vesta_xmpp::scan::Item;
use vesta_xmpp::{Envelope, IqType, StanzaType};

use super::mechanism;
use crate::account::{self, Account};
use crate::crew::{Run, Scenario, Worker};
use crate::error::Error;
use crate::for_each::for_each;
use crate::login;
use crate::process::Processes;
use crate::report::Report;
use crate::tally::Tally;
use crate::target::{Target, TargetArguments};

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Accounts {
    #[command(flatten)]
    target: TargetArguments,
    /// How many.
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// What their names begin with; a number follows.
    #[arg(long, default_value = "load")]
    prefix: String,
    /// The password of all of them.
    #[arg(long, default_value = "loadtest")]
    password: String,
    /// The mechanism whose keys are kept.
    #[arg(long, default_value = "SCRAM-SHA-1", value_parser = mechanism)]
    mechanism: Mechanism,
    /// How many streams work at once, in each process.
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Nobody's: this is no measurement.
    #[arg(skip)]
    processes: Processes,
}

impl Scenario for Accounts {
    const NAME: &'static str = "accounts";

    fn processes(&self) -> &Processes {
        &self.processes
    }

    /// Makes them. Those that exist are taken as they are.
    async fn work(&self, worker: &mut Worker) -> Result<Tally, Error> {
        let target = Target::new(self.target.clone())?;
        let (progress, numbers) = (worker.progress.clone(), worker.share.range(self.count));
        progress.begin("making accounts", numbers.len() as u64);
        let make = async |number| {
            let (account, is_new) = self.make(&target, format!("{}{number}", self.prefix)).await?;
            Ok((number, account, is_new))
        };
        let mut made = for_each(numbers, self.at_once, &progress, make).await?;
        made.sort_by_key(|(number, ..)| *number);
        let mut tally = Tally::default();
        tally.add("made", made.iter().filter(|(.., is_new)| *is_new).count() as u64);
        tally.accounts = made.iter().filter_map(|(_, account, _)| account.to_line()).collect();
        Ok(tally)
    }

    fn report(&self, run: &Run) -> Result<Report, Error> {
        account::write_lines(&self.out, &run.tally.accounts)?;
        Ok(Report::new(Self::NAME).with("accounts", run.tally.accounts.len()).with("made", run.tally.count("made")))
    }
}

impl Accounts {
    /// On one stream: registration, then authentication. Says whether the account is new.
    async fn make(&self, target: &Target, name: String) -> Result<(Account, bool), Error> {
        let mut account = Account { name, password: self.password.clone(), salted: None };
        let mut stream = login::connect(target).await?;
        let is_new = register(&mut stream, &account).await?;
        account.salted = login::authenticate(&mut stream, &account, self.mechanism).await?;
        Ok((account, is_new))
    }
}

/// XEP-0077 §3.1. `false`: an error came, because the account exists or because registration is off; the login will tell.
async fn register(stream: &mut Stream, account: &Account) -> Result<bool, Error> {
    let query = Register {
        username: Some(account.name.clone()),
        password: Some(account.password.as_str().into()),
        ..Register::default()
    };
    stream.send(&Envelope::iq(IqType::Set, "register", Some(&query.to_element()))).await?;
    match stream.next().await? {
        Item::Stanza(answer) => Ok(answer.kind == StanzaType::Iq(IqType::Result)),
        other => Err(Error::unexpected("the answer to a registration", &other)),
    }
}
