//! Pages of an archive, the form that tells how to ask for them, and the metadata.
//!
//! Ids only grow with time, so that all conditions of time and of ids come down to one range of ids. A page is read with one message more
//! than it may have: whether there is one says whether the page is the last.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use vesta_engine::Timestamp;
use vesta_engine::hooks::{Context, Hooks, IqAnswer, IqHandler, IqRequest, Scope};
use vesta_engine::log::{LogId, LogQuery, LoggedMessage, View};
use vesta_xmpp::envelope::Name;
use vesta_xmpp::payload::archive::{ArchiveResult, Bound, Fin, Metadata, Query};
use vesta_xmpp::payload::date_time::DateTime;
use vesta_xmpp::payload::delay::Delay;
use vesta_xmpp::payload::forwarded::Forwarded;
use vesta_xmpp::payload::rsm::{self, Position};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{BareJid, Envelope, Flags, MessageType, StanzaError, StanzaType, ns};

use super::{Config, PAGE_MAX};

/// Bytes of a page's messages together: a session's outbox has room for several such pages. A page that would be larger is shorter.
const PAGE_BYTES_MAX: usize = 512 * 1024;

/// How many ids one query may name.
const IDS_MAX: usize = 500;

/// Answers `<query/>`.
struct Pages {
    page_default: u32,
    page_max: u32,
}

/// Answers `<metadata/>`.
struct Ends;

pub(super) fn register(config: &Config, hooks: &mut Hooks) {
    let page_max = config.page_max.clamp(1, PAGE_MAX);
    let pages = Arc::new(Pages { page_default: config.page_default.clamp(1, page_max), page_max });
    hooks.iq_get(ns::ARCHIVE, "query", Scope::OwnAccount, pages.clone());
    hooks.iq_set(ns::ARCHIVE, "query", Scope::OwnAccount, pages);
    hooks.iq_get(ns::ARCHIVE, "metadata", Scope::OwnAccount, Arc::new(Ends));
}

#[async_trait]
impl IqHandler for Pages {
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer {
        if !request.is_set() {
            return Ok(Some(Query::form()));
        }
        // Pages go to the client that asks, in front of the answer.
        let Some(session) = context.session else { return Err(Condition::NotAllowed.into()) };
        let query = Query::parse(&request.payload()?)?;
        if !query.unknown_fields.is_empty() {
            let text = format!("unknown fields: {}", query.unknown_fields.join(", "));
            return Err(StanzaError::new(Condition::FeatureNotImplemented).with_text(text));
        }
        if query.node.is_some() {
            return Err(Condition::ItemNotFound.into());
        }
        let asked = query.page.clone().unwrap_or_default();
        let question = self.question(context, &query, &asked).await?;
        if asked.max == Some(0) {
            return Ok(Some(count(context, &question).await?.to_element()));
        }
        let (messages, complete) = page(context, question).await?;
        let end = |message: Option<&LoggedMessage>| message.map(|message| message.id.to_string());
        let page = rsm::Page { first: end(messages.first()), last: end(messages.last()), ..rsm::Page::default() };
        let results = messages.iter().filter_map(|message| result(message, &query, &context.account.jid));
        let mut results: Vec<_> = results.collect();
        if query.flip_page {
            results.reverse();
        }
        for result in results {
            context.deliver(session.key, result);
        }
        context.account.note_archive_reader(session.key);
        Ok(Some(Fin { complete, unstable: false, page }.to_element()))
    }
}

impl Pages {
    /// The question to the store. Its limit is that of the page.
    async fn question(
        &self,
        context: &Context<'_>,
        query: &Query,
        asked: &rsm::Request,
    ) -> Result<LogQuery, StanzaError> {
        let (mut after, mut before) = (None, None);
        match &asked.position {
            Position::First | Position::Last => {}
            Position::After(id) => after = Some(id),
            Position::Before(id) => before = Some(id),
            // XEP-0059 §2.4: not offered.
            Position::Index(_) => return Err(Condition::FeatureNotImplemented.into()),
        }
        let behind = [query.after_id.as_ref(), after];
        let ahead = [query.before_id.as_ref(), before];
        let named: Vec<_> = [&behind[..], &ahead, &query.ids.iter().map(Some).collect::<Vec<_>>()].concat();
        self.check_presence(context, named.into_iter().flatten()).await?;
        let id = |id: Option<&String>| id.and_then(|id| LogId::parse(id));
        Ok(LogQuery {
            view: View::Archived,
            peer: query.with.clone(),
            after: behind.into_iter().filter_map(id).chain(query.start.and_then(last_before)).max(),
            before: ahead.into_iter().filter_map(id).chain(query.end.and_then(first_behind)).min(),
            ids: (!query.ids.is_empty()).then(|| query.ids.iter().filter_map(|it| LogId::parse(it)).collect()),
            limit: asked.max.unwrap_or(self.page_default).min(self.page_max),
            backwards: matches!(asked.position, Position::Last | Position::Before(_)),
        })
    }

    /// §4.1.3, §4.3.2: an id that is not in the archive is told of.
    async fn check_presence(
        &self,
        context: &Context<'_>,
        named: impl Iterator<Item = &String>,
    ) -> Result<(), StanzaError> {
        let ids: Option<BTreeSet<LogId>> = named.map(|id| LogId::parse(id)).collect();
        let Some(ids) = ids else { return Err(Condition::ItemNotFound.into()) };
        if ids.is_empty() {
            return Ok(());
        }
        if ids.len() > IDS_MAX {
            let text = format!("more than {IDS_MAX} ids");
            return Err(StanzaError::new(Condition::PolicyViolation).with_text(text));
        }
        let wanted = ids.len() as u64;
        let query = LogQuery { ids: Some(ids.into_iter().collect()), limit: IDS_MAX as u32, ..everything() };
        match context.ports.store().log_count(&context.account.jid, &query).await? {
            found if found == wanted => Ok(()),
            _ => Err(Condition::ItemNotFound.into()),
        }
    }
}

#[async_trait]
impl IqHandler for Ends {
    async fn answer(&self, context: &mut Context<'_>, _: &IqRequest<'_>) -> IqAnswer {
        Ok(Some(Metadata { start: end(context, false).await?, end: end(context, true).await? }.to_element()))
    }
}

/// The oldest or the newest message.
async fn end(context: &Context<'_>, newest: bool) -> Result<Option<Bound>, StanzaError> {
    let query = LogQuery { limit: 1, backwards: newest, ..everything() };
    let found = context.ports.store().log_page(&context.account.jid, &query).await?;
    Ok(found.first().map(|message| Bound { id: message.id.to_string(), timestamp: stamp(message) }))
}

/// XEP-0059 §2.6: how many there are, and no message.
async fn count(context: &Context<'_>, question: &LogQuery) -> Result<Fin, StanzaError> {
    let count = context.ports.store().log_count(&context.account.jid, question).await?;
    let page = rsm::Page { count: Some(count.try_into().unwrap_or(u32::MAX)), ..rsm::Page::default() };
    Ok(Fin { complete: count == 0, unstable: false, page })
}

/// The messages of a page in their order, and whether there are no more beyond it.
async fn page(context: &Context<'_>, question: LogQuery) -> Result<(Vec<LoggedMessage>, bool), StanzaError> {
    let (limit, backwards) = (question.limit as usize, question.backwards);
    let question = LogQuery { limit: question.limit + 1, ..question };
    let mut messages = context.ports.store().log_page(&context.account.jid, &question).await?;
    if backwards {
        messages.reverse();
    }
    let mut bytes = 0;
    let fits = |message: &&LoggedMessage| {
        bytes += message.stanza.len();
        bytes <= PAGE_BYTES_MAX
    };
    let fitting = messages.iter().take(limit).take_while(fits).count();
    // One message is a page, however large it is.
    let length = fitting.max(1).min(messages.len());
    let complete = length == messages.len();
    messages.truncate(length);
    if backwards {
        messages.reverse();
    }
    Ok((messages, complete))
}

/// The message that carries a message of the archive to the client.
fn result(message: &LoggedMessage, query: &Query, owner: &BareJid) -> Option<Envelope> {
    let Some(stanza) = message.read(owner) else {
        tracing::error!(account = %owner, id = %message.id, "a message of the archive can't be read");
        return None;
    };
    let delay = Some(Delay { from: None, stamp: stamp(message), reason: None });
    let forwarded = Forwarded { delay, stanza };
    let mut content = Vec::with_capacity(message.stanza.len() + 512);
    ArchiveResult { query_id: query.query_id.clone(), id: message.id.to_string(), forwarded }.write(&mut content);
    let mut result = Envelope::new(StanzaType::Message(MessageType::Normal)).with_from(owner.clone());
    result.payload = Some(Name::new(ns::ARCHIVE, "result"));
    result.flags.set(Flags::COPY);
    result.content = content.into();
    Some(result)
}

fn stamp(message: &LoggedMessage) -> DateTime {
    DateTime::from_unix_ms(message.id.at().0)
}

fn everything() -> LogQuery {
    LogQuery { view: View::Archived, peer: None, after: None, before: None, ids: None, limit: 0, backwards: false }
}

/// The greatest id of a time before this one; `None` where there can't be one.
fn last_before(instant: DateTime) -> Option<LogId> {
    let first = LogId::first_of(timestamp(instant)?);
    first.0.checked_sub(1).map(LogId)
}

/// The least id of a time after this one: before 1970 there is nothing.
fn first_behind(instant: DateTime) -> Option<LogId> {
    Some(timestamp(DateTime(instant.0.saturating_add(1))).map_or(LogId(0), LogId::first_of))
}

/// `None` before 1970.
fn timestamp(instant: DateTime) -> Option<Timestamp> {
    u64::try_from(instant.0).ok().map(Timestamp)
}
