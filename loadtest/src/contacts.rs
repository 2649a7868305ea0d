//! Users with rosters: they form circles, and everybody in one has all others of it as contacts, with a subscription both ways.
//!
//! The rosters are made by the subscription stanzas of RFC 6121 §3, only what is missing of them: a run may be broken off and begun
//! again. A circle never spans two processes.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use vesta_client::Stream;
use vesta_xmpp::payload::roster::{Roster, Subscription};
use vesta_xmpp::sasl::Mechanism;
use vesta_xmpp::scan::Item;
use vesta_xmpp::{BareJid, Envelope, FullJid, IqType, PresenceType, StanzaType};

use crate::account::Account;
use crate::crew::Share;
use crate::error::Error;
use crate::for_each::for_each;
use crate::login::log_in;
use crate::progress::Progress;
use crate::target::Target;

/// How long the server may be silent while rosters are made.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Asks for the roster (RFC 6121 §2.2).
pub const ROSTER_GET: &str = "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>";

/// How many users there are, and how they know each other.
#[derive(Clone, Debug, Args)]
pub struct ContactArguments {
    /// How many users, rounded down to whole circles. Default: as many as there are accounts.
    #[arg(long)]
    users: Option<usize>,
    /// How many contacts each of them has. Accounts that were used with another number can't be used.
    #[arg(long, default_value_t = 10)]
    pub contacts: usize,
    /// Logins under way at once.
    #[arg(long, default_value_t = 32)]
    pub at_once: usize,
}

/// Users in circles.
#[derive(Debug)]
pub struct Circles {
    target: Target,
    accounts: Vec<Account>,
    mechanism: Mechanism,
    /// Of one circle: a user and the contacts.
    size: usize,
    at_once: usize,
}

/// Somebody who is logged in.
pub struct User {
    /// Which account, counted from 0.
    pub number: usize,
    /// The address.
    pub jid: FullJid,
    /// The connection.
    pub stream: Stream,
}

impl Circles {
    /// Of as many of the accounts as are wanted.
    ///
    /// # Errors
    /// There are too few accounts for a circle.
    pub fn new(
        target: Target,
        mut accounts: Vec<Account>,
        mechanism: Mechanism,
        arguments: &ContactArguments,
    ) -> Result<Self, Error> {
        let ContactArguments { users, contacts, at_once } = *arguments;
        accounts.truncate(users.unwrap_or(accounts.len()));
        if contacts == 0 || accounts.len() <= contacts {
            return Err(Error::Usage(format!("{contacts} contacts each need at least {} accounts", contacts + 1)));
        }
        Ok(Self { target, accounts, mechanism, size: contacts + 1, at_once })
    }

    /// How many contacts each user has.
    pub fn contacts(&self) -> usize {
        self.size - 1
    }

    /// The users whose circles are a process's.
    pub fn users(&self, share: Share) -> Range<usize> {
        let circles = share.range(self.accounts.len() / self.size);
        circles.start * self.size..circles.end * self.size
    }

    /// All users of this one's circle.
    pub fn circle(&self, user: usize) -> Range<usize> {
        let first = user - self.position(user);
        first..first + self.size
    }

    /// The user's place in the circle, from 0.
    pub fn position(&self, user: usize) -> usize {
        user % self.size
    }

    /// The address of a user's account.
    ///
    /// # Errors
    /// The name of the account is none.
    pub fn jid(&self, user: usize) -> Result<BareJid, Error> {
        let jid = format!("{}@{}", self.accounts[user].name, self.target.domain());
        BareJid::parse(&jid).map_err(|error| Error::Usage(format!("{jid}: {error}")))
    }

    /// Logs a user in.
    ///
    /// # Errors
    /// As [`log_in`].
    pub async fn log_in(&self, number: usize, resource: &str) -> Result<User, Error> {
        let (stream, jid) = log_in(&self.target, &self.accounts[number], self.mechanism, resource).await?;
        Ok(User { number, jid, stream })
    }

    /// Logs in, makes available, and makes contacts of those who are not yet.
    ///
    /// # Errors
    /// A login fails, or the server does not do what RFC 6121 §3 says.
    pub async fn gather(&self, users: Range<usize>, resource: &str, progress: &Progress) -> Result<Vec<User>, Error> {
        progress.begin("logging in", users.len() as u64);
        let gathered = for_each(users, self.at_once, progress, |user| self.log_in(user, resource)).await?;
        progress.begin("making rosters", gathered.len() as u64);
        // All at once: users wait for each other.
        let all = gathered.len();
        let befriend = |mut user: User| async move {
            self.befriend(&mut user).await?;
            Ok(user)
        };
        for_each(gathered, all, progress, befriend).await
    }

    async fn befriend(&self, user: &mut User) -> Result<(), Error> {
        let others = self.circle(user.number).filter(|other| *other != user.number);
        let contacts = others.map(|other| self.jid(other)).collect::<Result<HashSet<_>, _>>()?;
        let roster = fetch_roster(&mut user.stream).await?;
        if roster.items.iter().any(|item| !contacts.contains(&item.jid.to_bare())) {
            return Err(Error::Usage(format!("{} has other contacts: use other accounts", user.jid.bare_str())));
        }
        let has = |contact: &BareJid, states: &[Subscription]| {
            roster.items.iter().any(|item| item.jid.to_bare() == *contact && states.contains(&item.subscription))
        };
        let mut missing = contacts;
        missing.retain(|contact| !has(contact, &[Subscription::Both]));
        let mut out = b"<presence/>".to_vec();
        for contact in missing.iter().filter(|contact| !has(contact, &[Subscription::To])) {
            presence(PresenceType::Subscribe, contact.clone()).write(&mut out, None);
        }
        user.stream.send_raw(&out).await?;
        settle(&mut user.stream, &user.jid, missing).await
    }
}

/// Makes a session available, and waits until the server has it so.
///
/// # Errors
/// The connection broke, or nothing comes back.
pub async fn appear(stream: &mut Stream, jid: &FullJid) -> Result<(), Error> {
    stream.send_raw(b"<presence/>").await?;
    settle(stream, jid, HashSet::new()).await
}

/// Goes on until all of `missing` are contacts both ways and the own presence has come back: then the server has it (RFC 6121
/// §4.2.2).
async fn settle(stream: &mut Stream, jid: &FullJid, mut missing: HashSet<BareJid>) -> Result<(), Error> {
    let mut is_available = false;
    while !is_available || !missing.is_empty() {
        let stanza = next_stanza(stream).await?;
        match (stanza.kind, &stanza.from) {
            (StanzaType::Presence(PresenceType::Available), Some(from)) => {
                is_available |= from.as_str() == jid.as_str();
            }
            (StanzaType::Presence(PresenceType::Subscribe), Some(from)) => {
                stream.send(&presence(PresenceType::Subscribed, from.to_bare())).await?;
            }
            (StanzaType::Iq(IqType::Set), _) => {
                for item in roster(&stanza).items.iter().filter(|item| item.subscription == Subscription::Both) {
                    missing.remove(&item.jid.to_bare());
                }
                stream.send(&stanza.result(None)).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

async fn fetch_roster(stream: &mut Stream) -> Result<Roster, Error> {
    stream.send_raw(ROSTER_GET.as_bytes()).await?;
    loop {
        let stanza = next_stanza(stream).await?;
        if stanza.id.as_deref() == Some("roster") && stanza.kind == StanzaType::Iq(IqType::Result) {
            return Ok(roster(&stanza));
        }
    }
}

/// The next stanza; anything else than stanzas is passed over.
async fn next_stanza(stream: &mut Stream) -> Result<Envelope, Error> {
    loop {
        let item =
            timeout(SILENCE_MAX, stream.next()).await.map_err(|_| Error::TimedOut("a stanza of the server"))??;
        match item {
            Item::Stanza(stanza) => return Ok(stanza),
            Item::Close => return Err(vesta_client::Error::Closed.into()),
            _ => {}
        }
    }
}

/// The roster that an IQ carries; empty where it carries none.
fn roster(stanza: &Envelope) -> Roster {
    let payload = stanza.payload_element().ok().flatten();
    payload.and_then(|payload| Roster::parse(&payload).ok()).unwrap_or_default()
}

fn presence(kind: PresenceType, to: BareJid) -> Envelope {
    Envelope::new(StanzaType::Presence(kind)).with_to(to)
}
