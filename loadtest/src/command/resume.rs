//! `resume`: managed sessions (XEP-0198) lose their connections, all at once, and all come back and go on with their streams. Times
//! count from the cut, however long a session had to wait to be let in.
//!
//! With several endpoints each session comes back at the next one: not where it was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use vesta_client::Stream;
use vesta_xmpp::scan::Item;
use vesta_xmpp::{FullJid, PresenceType, StanzaType};

use super::Common;
use super::login::log_out;
use crate::account::Account;
use crate::crew::{Gate, Run, Scenario, Worker};
use crate::error::Error;
use crate::for_each::for_each;
use crate::login::{enter, log_in};
use crate::management;
use crate::process::Processes;
use crate::recorder::Recorder;
use crate::report::Report;
use crate::tally::Tally;
use crate::target::Target;

/// How long the server may be silent while sessions come up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    common: Common,
    /// How many sessions; the accounts are used in turn. Default: one for each account.
    #[arg(long)]
    sessions: Option<usize>,
    /// Logins under way at once, in each process, before the cut.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
    /// Resumptions under way at once behind it, in each process.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    resume_at_once: usize,
}

/// A session that can be resumed.
struct Session {
    number: usize,
    /// The stream's id for resumption.
    id: String,
    /// Stanzas that were sent since the stream is managed.
    sent: u32,
    /// Stanzas that came.
    handled: u32,
}

/// Where sessions live.
struct Place {
    accounts: Vec<Account>,
    /// One for each endpoint.
    targets: Vec<Target>,
}

impl Scenario for Resume {
    const NAME: &'static str = "resume";

    fn processes(&self) -> &Processes {
        &self.common.processes
    }

    async fn work(&self, worker: &mut Worker) -> Result<Tally, Error> {
        let (_, accounts) = self.common.open()?;
        let numbers = worker.share.range(self.sessions.unwrap_or(accounts.len()));
        let place = Place { accounts, targets: self.common.target.each().map(Target::new).collect::<Result<_, _>>()? };
        let (progress, recorder) = (worker.progress.clone(), Recorder::default());
        progress.begin("logging in", numbers.len() as u64);
        let arrive = |number| self.arrive(&place, number);
        let arrived = for_each(numbers, self.at_once, &progress, arrive).await?;
        let (sessions, streams): (Vec<_>, Vec<_>) = arrived.into_iter().unzip();
        worker.meet(Gate::Begin).await?;
        recorder.begin();
        let began_us = recorder.now_us();
        drop(streams);
        progress.begin("resuming", sessions.len() as u64);
        let is_told = AtomicBool::new(false);
        let resume = async |session: Session| {
            let resumed = self.resume(&place, session).await;
            match &resumed {
                Ok(_) => recorder.take(recorder.now_us(), [began_us]),
                Err(error) if !is_told.swap(true, Ordering::Relaxed) => {
                    eprintln!("the first that is not resumed: {error}")
                }
                Err(_) => {}
            }
            Ok(resumed.ok())
        };
        let resumed = for_each(sessions, self.resume_at_once, &progress, resume).await?;
        worker.meet(Gate::End).await?;
        let mut tally = recorder.tally();
        tally.add("sessions", resumed.len() as u64);
        tally.add("not_resumed", resumed.iter().filter(|stream| stream.is_none()).count() as u64);
        progress.begin("logging out", tally.events());
        for_each(resumed.into_iter().flatten(), self.at_once, &progress, log_out).await?;
        Ok(tally)
    }

    fn report(&self, run: &Run) -> Result<Report, Error> {
        Ok(Report::new(Self::NAME)
            .with("security", self.common.target.security_name())
            .with("sessions", run.tally.count("sessions"))
            .with("endpoints", self.common.target.each().count())
            .with("at_once", self.resume_at_once)
            .with_cost("resumptions", run.tally.events(), &run.cost())
            .with_latencies(&run.tally.latencies)
            .with_timeline(&run.tally)
            .with("not_resumed", run.tally.count("not_resumed")))
    }
}

impl Resume {
    /// Logs in, and makes the session available on a managed stream.
    async fn arrive(&self, place: &Place, number: usize) -> Result<(Session, Stream), Error> {
        let (account, resource) = (&place.accounts[number % place.accounts.len()], format!("resume{number}"));
        let (mut stream, jid) = log_in(place.target(number), account, self.common.mechanism, &resource).await?;
        let Some(id) = management::enable(&mut stream, true).await? else {
            return Err(Error::Usage("the server resumes no streams".into()));
        };
        stream.send_raw(b"<presence/>").await?;
        let handled = stanzas_until_presence(&mut stream, &jid).await?;
        Ok((Session { number, id, sent: 1, handled }, stream))
    }

    /// Comes back at the next endpoint.
    async fn resume(&self, place: &Place, session: Session) -> Result<Stream, Error> {
        let Session { number, id, sent, handled } = session;
        let account = &place.accounts[number % place.accounts.len()];
        let mut stream = enter(place.target(number + 1), account, self.common.mechanism).await?;
        let expected = "a resumed stream on which all is handled that was sent";
        match management::resume(&mut stream, &id, handled).await? {
            Ok(count) if count == sent => Ok(stream),
            Ok(count) => Err(Error::Unexpected { expected, got: format!("a count of {count}, not {sent}") }),
            Err(failed) => Err(Error::Unexpected { expected, got: format!("{failed:?}") }),
        }
    }
}

impl Place {
    fn target(&self, number: usize) -> &Target {
        &self.targets[number % self.targets.len()]
    }
}

/// How many stanzas come until one's own presence has come back (RFC 6121 §4.2.2).
async fn stanzas_until_presence(stream: &mut Stream, jid: &FullJid) -> Result<u32, Error> {
    let mut stanzas = 0;
    loop {
        let item = timeout(SILENCE_MAX, stream.next()).await.map_err(|_| Error::TimedOut("the own presence"))??;
        match item {
            Item::Stanza(stanza) => {
                stanzas += 1;
                let is_own = stanza.from.as_ref().is_some_and(|from| from.as_str() == jid.as_str());
                if is_own && stanza.kind == StanzaType::Presence(PresenceType::Available) {
                    return Ok(stanzas);
                }
            }
            Item::Close => return Err(vesta_client::Error::Closed.into()),
            // What the server asks meanwhile the count of the resumption will tell.
            _ => {}
        }
    }
}
