//! `accounts`: makes accounts by in-band registration, logs each in once, and keeps what SCRAM derives.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use vesta_client::Stream;
use vesta_xmpp::payload::register::Register;
use vesta_xmpp::sasl::Mechanism;
use vesta_xmpp::scan::Item;
use vesta_xmpp::{Envelope, IqType, StanzaType};

use super::{for_each, mechanism};
use crate::account::{self, Account};
use crate::error::Error;
use crate::login;
use crate::report::Report;
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
    /// How many streams work at once.
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Accounts {
    /// Makes them. Those that exist are taken as they are.
    pub async fn run(self) -> Result<Report, Error> {
        let target = Target::new(self.target.clone())?;
        let made = AtomicUsize::new(0);
        let make = |number| {
            let name = format!("{}{number}", self.prefix);
            let (target, made, this) = (&target, &made, &self);
            async move {
                let account = this.make(target, name, made).await?;
                Ok((number, account))
            }
        };
        let mut accounts = for_each(0..self.count, self.at_once, make).await?;
        accounts.sort_by_key(|(number, _)| *number);
        let accounts: Vec<Account> = accounts.into_iter().map(|(_, account)| account).collect();
        account::write_all(&self.out, &accounts)?;
        Ok(Report::new("accounts").with("accounts", accounts.len()).with("made", made.into_inner()))
    }

    /// On one stream: registration, then authentication.
    async fn make(&self, target: &Target, name: String, made: &AtomicUsize) -> Result<Account, Error> {
        let mut account = Account { name, password: self.password.clone(), salted: None };
        let mut stream = login::connect(target).await?;
        if register(&mut stream, &account).await? {
            made.fetch_add(1, Ordering::Relaxed);
        }
        account.salted = login::authenticate(&mut stream, &account, self.mechanism).await?;
        Ok(account)
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
