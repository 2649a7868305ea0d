//! `storm`: all users log in at once, as after a power cut; each fetches the roster, becomes available, and is done when presence has
//! come from all contacts. Times count from the beginning of the storm, however long a user had to wait to be let in.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use vesta_xmpp::scan::Item;
use vesta_xmpp::{BareJid, Envelope, IqType, PresenceType, StanzaType};

use super::Common;
use super::login::log_out;
use crate::contacts::{Circles, ContactArguments, ROSTER_GET, User};
use crate::crew::{Gate, Run, Scenario, Worker};
use crate::error::Error;
use crate::for_each::for_each;
use crate::process::Processes;
use crate::recorder::Recorder;
use crate::report::Report;
use crate::tally::Tally;

/// How long a user waits for a contact's presence when nothing comes.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// The resource of all users in the storm: presence of other sessions does not count.
const RESOURCE: &str = "storm";

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Storm {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    contacts: ContactArguments,
    /// Logins under way at once in the storm, in each process.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    storm_at_once: usize,
}

impl Scenario for Storm {
    const NAME: &'static str = "storm";

    fn processes(&self) -> &Processes {
        &self.common.processes
    }

    async fn work(&self, worker: &mut Worker) -> Result<Tally, Error> {
        let (target, accounts) = self.common.open()?;
        let circles = Arc::new(Circles::new(target, accounts, self.common.mechanism, &self.contacts)?);
        let (numbers, progress) = (circles.users(worker.share), worker.progress.clone());
        // Rosters first: those that are there already cost a login.
        let users = circles.gather(numbers.clone(), "before-storm", &progress).await?;
        progress.begin("logging out", users.len() as u64);
        for_each(users, self.contacts.at_once, &progress, |user| log_out(user.stream)).await?;
        let (recorder, gate) = (Arc::new(Recorder::default()), Arc::new(Semaphore::new(self.storm_at_once.max(1))));
        worker.meet(Gate::Begin).await?;
        recorder.begin();
        let began_us = recorder.now_us();
        progress.begin("storming", numbers.len() as u64);
        let mut tasks = JoinSet::new();
        for number in numbers {
            tasks.spawn(arrive(circles.clone(), number, gate.clone()));
        }
        let (mut arrived, mut unseen) = (Vec::new(), 0);
        while let Some(ended) = tasks.join_next().await {
            let (user, missing) = ended.map_err(Error::task)??;
            recorder.take(recorder.now_us(), [began_us]);
            progress.add(1);
            unseen += missing as u64;
            // The connection stays: others are still waiting to see this user.
            arrived.push(user);
        }
        worker.meet(Gate::End).await?;
        let mut tally = recorder.tally();
        tally.add("users", arrived.len() as u64);
        tally.add("unseen", unseen);
        Ok(tally)
    }

    fn report(&self, run: &Run) -> Result<Report, Error> {
        Ok(Report::new(Self::NAME)
            .with("security", self.common.target.security_name())
            .with("users", run.tally.count("users"))
            .with("contacts", self.contacts.contacts)
            .with("at_once", self.storm_at_once)
            .with_cost("logins", run.tally.events(), &run.cost())
            .with_latencies(&run.tally.latencies)
            .with_timeline(&run.tally)
            .with("contacts_unseen", run.tally.count("unseen")))
    }
}

/// Logs in and waits for the contacts. Returns how many did not show up.
async fn arrive(circles: Arc<Circles>, number: usize, gate: Arc<Semaphore>) -> Result<(User, usize), Error> {
    let others = circles.circle(number).filter(|other| *other != number);
    let mut missing = others.map(|other| circles.jid(other)).collect::<Result<HashSet<_>, _>>()?;
    let permit = gate.acquire().await;
    let mut user = circles.log_in(number, RESOURCE).await?;
    user.stream.send_raw([ROSTER_GET, "<presence/>"].concat().as_bytes()).await?;
    drop(permit);
    let mut has_roster = false;
    while !has_roster || !missing.is_empty() {
        let Ok(item) = timeout(SILENCE_MAX, user.stream.next()).await else { break };
        match item? {
            Item::Stanza(stanza) => {
                has_roster |= is_roster(&stanza);
                if let Some(contact) = arrived_contact(&stanza) {
                    missing.remove(&contact);
                }
            }
            Item::Close => return Err(vesta_client::Error::Closed.into()),
            _ => {}
        }
    }
    Ok((user, missing.len()))
}

fn is_roster(stanza: &Envelope) -> bool {
    stanza.kind == StanzaType::Iq(IqType::Result) && stanza.id.as_deref() == Some("roster")
}

/// Whose presence this is, if it is of a session in the storm.
fn arrived_contact(stanza: &Envelope) -> Option<BareJid> {
    let from = stanza.from.as_ref().filter(|from| from.resource() == Some(RESOURCE))?;
    (stanza.kind == StanzaType::Presence(PresenceType::Available)).then(|| from.to_bare())
}
