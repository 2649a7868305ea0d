//! `archive`: pages of archives (XEP-0313) of a given size, at their start, in their middle and at their end. Does it matter where a page
//! lies?
//!
//! What is missing of an archive is written first. Then it is read once from the first page to the last, which finds the places; then
//! pages are read at each of them in turn, so that a slow moment of the machine meets all alike. One page is asked for at a time.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::Notify;
use tokio::time::timeout;
use vesta_client::Stream;
use vesta_xmpp::payload::archive::{Fin, Query};
use vesta_xmpp::payload::rsm::{self, Position};
use vesta_xmpp::scan::Item;
use vesta_xmpp::{Envelope, IqType, StanzaType};

use super::Common;
use super::chat::couples;
use crate::account::Account;
use crate::contacts::appear;
use crate::crew::{Gate, Run, Scenario, Worker};
use crate::error::Error;
use crate::for_each::for_each;
use crate::login::log_in;
use crate::pair::{Pace, Pair, Shared};
use crate::probe::Writer;
use crate::process::Processes;
use crate::progress::Progress;
use crate::recorder::Recorder;
use crate::report::Report;
use crate::tally::Tally;
use crate::target::Target;

/// How long the server may take for one page.
const PAGE_TIME_MAX: Duration = Duration::from_secs(60);
/// Messages under way while an archive is filled.
const WINDOW: u64 = 100;
/// Where pages are read, as reports call it.
const PLACES: [&str; 3] = ["start", "middle", "end"];

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Archive {
    #[command(flatten)]
    common: Common,
    /// How many archives, each of which is read on one connection; each takes two accounts.
    #[arg(long, default_value_t = 1)]
    pairs: usize,
    /// Messages of each archive, at least.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    archived_messages: u64,
    /// Messages of a page.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    page_messages: u32,
    /// Pages that follow each other at each place.
    #[arg(long, default_value_t = 10)]
    pages: usize,
    /// How often each place is come to.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Bytes of a message as it is sent.
    #[arg(long, default_value_t = 300)]
    size: usize,
}

/// What is in an archive.
struct Contents {
    messages: u64,
    /// Where each page begins; at least one.
    pages: Vec<Position>,
}

/// An archive that is read: the connection, and behind which message each of the [`PLACES`] begins.
struct Archived {
    stream: Stream,
    places: [Position; 3],
}

impl Scenario for Archive {
    const NAME: &'static str = "archive";

    fn processes(&self) -> &Processes {
        &self.common.processes
    }

    async fn work(&self, worker: &mut Worker) -> Result<Tally, Error> {
        if self.archived_messages < (self.pages * PLACES.len()) as u64 * u64::from(self.page_messages) {
            return Err(Error::Usage("the archive has too few messages for so many pages at each place".into()));
        }
        let (target, accounts) = self.common.open()?;
        let (couples, progress) = (couples(&accounts, worker.share.range(self.pairs))?, worker.progress.clone());
        for couple in couples.chunks_exact(2) {
            self.fill(&target, couple, &progress).await?;
        }
        worker.meet(Gate::Connected).await?;
        progress.begin("reading whole archives", 0);
        let (all, unseen) = (couples.len(), Progress::default());
        let open = async |couple: &[Account]| self.open(self.read_as(&target, &couple[1]).await?, &progress).await;
        let archives = for_each(couples.chunks_exact(2), all, &unseen, open).await?;
        let recorder = Recorder::default();
        worker.meet(Gate::Begin).await?;
        recorder.begin();
        progress.begin("reading pages", (archives.len() * PLACES.len() * self.pages * self.rounds) as u64);
        for_each(archives, all, &unseen, |archive| self.read(archive, &recorder, &progress)).await?;
        worker.meet(Gate::End).await?;
        Ok(recorder.tally())
    }

    fn report(&self, run: &Run) -> Result<Report, Error> {
        let report = Report::new(Self::NAME)
            .with("security", self.common.target.security_name())
            .with("pairs", self.pairs)
            .with("archived_messages", self.archived_messages)
            .with("page_messages", self.page_messages)
            .with_cost("pages", run.tally.events(), &run.cost())
            .with_latencies(&run.tally.latencies);
        let report = PLACES.iter().fold(report, |report, place| report.with_named_latencies(place, &run.tally));
        Ok(report.with_timeline(&run.tally))
    }
}

impl Archive {
    /// Writes what the archive of the second of both does not have yet.
    async fn fill(&self, target: &Target, couple: &[Account], progress: &Arc<Progress>) -> Result<(), Error> {
        let mut reading = self.read_as(target, &couple[1]).await?;
        // Not all servers tell how many there are.
        progress.begin("counting messages", 0);
        let found = self.read_all(&mut reading, progress).await?.messages;
        let missing = self.archived_messages.saturating_sub(found);
        if missing == 0 {
            return Ok(());
        }
        progress.begin("filling archives", missing);
        let (sender, _) = log_in(target, &couple[0], self.common.mechanism, "archive").await?;
        let (mut receiver, jid) = log_in(target, &couple[1], self.common.mechanism, "archived").await?;
        appear(&mut receiver, &jid).await?;
        let shared = Shared { recorder: Arc::default(), progress: progress.clone() };
        let (writer, wake) = (Writer::messages(jid.as_str(), self.size), Arc::<Notify>::default());
        let pair = Pair::new(sender, receiver, writer, Pace::Window(WINDOW), wake.clone(), &shared).run();
        let enough = async {
            progress.finished().await;
            shared.recorder.end();
            wake.notify_one();
        };
        let (filled, ()) = tokio::join!(pair, enough);
        match filled?.count("lost") {
            0 => Ok(()),
            lost => Err(Error::Unexpected { expected: "all messages", got: format!("{lost} less") }),
        }
    }

    /// A session that gets nothing but what it asks for: it has no presence.
    async fn read_as(&self, target: &Target, account: &Account) -> Result<Stream, Error> {
        Ok(log_in(target, account, self.common.mechanism, "reading").await?.0)
    }

    /// Finds the places.
    async fn open(&self, mut stream: Stream, progress: &Progress) -> Result<Archived, Error> {
        let Contents { messages, pages } = self.read_all(&mut stream, progress).await?;
        // The last page may be a short one.
        match first_pages(pages.len() - 1, self.pages) {
            Some(first) => Ok(Archived { stream, places: first.map(|at| pages[at].clone()) }),
            None => {
                let got = format!("{messages} messages");
                Err(Error::Unexpected { expected: "an archive of as many messages as were written", got })
            }
        }
    }

    /// Reads all pages, one after the other.
    async fn read_all(&self, stream: &mut Stream, progress: &Progress) -> Result<Contents, Error> {
        let mut contents = Contents { messages: 0, pages: Vec::new() };
        let mut position = Position::First;
        loop {
            let page = page(stream, self.page_messages, position.clone()).await?;
            progress.add(1);
            contents.pages.push(position);
            contents.messages += u64::from(page.messages);
            match page.fin.page.last {
                Some(last) if !page.fin.complete => position = Position::After(last),
                _ => return Ok(contents),
            }
        }
    }

    async fn read(&self, archive: Archived, recorder: &Recorder, progress: &Progress) -> Result<(), Error> {
        let Archived { mut stream, places } = archive;
        for _ in 0..self.rounds {
            for (name, place) in PLACES.into_iter().zip(&places) {
                let mut position = place.clone();
                for _ in 0..self.pages {
                    let asked_us = recorder.now_us();
                    let page = page(&mut stream, self.page_messages, position).await?;
                    let now_us = recorder.now_us();
                    recorder.take(now_us, [asked_us]);
                    recorder.take_named(name, now_us, [asked_us]);
                    progress.add(1);
                    position = match page.fin.page.last {
                        Some(last) if page.messages == self.page_messages => Position::After(last),
                        _ => {
                            let got = format!("a page of {}", page.messages);
                            return Err(Error::Unexpected { expected: "a page of as many messages as asked for", got });
                        }
                    };
                }
            }
        }
        Ok(())
    }
}

/// With which page each of the [`PLACES`] begins, in an archive of so many pages, if so many are read there. `None`: it has fewer.
fn first_pages(pages: usize, read: usize) -> Option<[usize; 3]> {
    let end = pages.checked_sub(read)?;
    Some([0, end / 2, end])
}

/// A page that was read.
struct Page {
    messages: u32,
    fin: Fin,
}

/// Asks for a page of one's own archive (XEP-0313 §4) and waits for its end.
async fn page(stream: &mut Stream, messages_max: u32, position: Position) -> Result<Page, Error> {
    const ID: &str = "page";
    let query = Query { page: Some(rsm::Request { max: Some(messages_max), position }), ..Query::default() };
    stream.send(&Envelope::iq(IqType::Set, ID, Some(&query.to_element()))).await?;
    let mut messages = 0;
    loop {
        let item = timeout(PAGE_TIME_MAX, stream.next()).await.map_err(|_| Error::TimedOut("a page"))??;
        match &item {
            Item::Stanza(Envelope { kind: StanzaType::Message(_), .. }) => messages += 1,
            Item::Stanza(stanza) if stanza.id.as_deref() == Some(ID) => {
                let payload = stanza.payload_element().ok().flatten();
                let fin = payload.and_then(|payload| Fin::parse(&payload).ok());
                let fin = fin.filter(|_| stanza.kind == StanzaType::Iq(IqType::Result));
                return match fin {
                    Some(fin) => Ok(Page { messages, fin }),
                    None => Err(Error::unexpected("the end of a page", &item)),
                };
            }
            Item::Close => return Err(vesta_client::Error::Closed.into()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_at_the_start_in_the_middle_and_at_the_end() {
        assert_eq!(first_pages(2000, 10), Some([0, 995, 1990]));
        assert_eq!(first_pages(10, 10), Some([0, 0, 0]));
        assert_eq!(first_pages(9, 10), None);
    }
}
