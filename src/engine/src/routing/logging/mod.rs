//! Messages on their way into the log, and what follows when they are in it. The idea is told in [`crate::logging`].
//!
//! | a message | comes again while the first is under way | later |
//! |---|---|---|
//! | to the account | waits behind it, then is done; the sender is told if the first could not be stored | is done at once |
//! | from the account | likewise, and is routed at once: the recipient decides for itself | is routed |
//!
//! One that an earlier leader has stored goes once more to those sessions that have not got it: that leader may have died before it
//! had delivered it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use vesta_xmpp::payload::stanza_id::OriginId;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, Flags, Jid, MessageType, StanzaError, StanzaType};

use super::message::{self, Fate};
use super::rules::Verdict;
use super::{at_account, bounce};
use crate::StoreError;
use crate::hooks::Context;
use crate::log::{LogEntry, LogId, LogQuery, Mark, View, bear_id};
use crate::logging::{Entry, Logged, Step, Wait, Way};
use crate::recent::Marks;
use crate::store::Change;

/// A message of the account's client, before it is routed. `false`: it is refused, and its sender knows.
pub(super) async fn sent(context: &mut Context<'_>, stanza: &Arc<Envelope>, archived: bool) -> bool {
    if !archived {
        sent_without_entry(context, stanza).await;
        return true;
    }
    match try_sent(context, stanza).await {
        Ok(()) => true,
        Err(error) => {
            bounce(context, stanza, &error);
            false
        }
    }
}

async fn try_sent(context: &mut Context<'_>, stanza: &Arc<Envelope>) -> Result<(), StanzaError> {
    context.account.load_log(context.ports).await?;
    let marks = marks(context, stanza);
    if let Some(first) = context.account.log.recent.find(marks) {
        if context.account.log.is_entry_under_way(first) {
            line_up(context, None, Step::Again { stanza: stanza.clone(), marks });
        } else if context.account.log.recent.claim(first) {
            let step = |stanza, entry| Step::Sent { stanza, entry };
            once_more(context, stanza, Way::Out, first, step);
        }
        return Ok(());
    }
    append(context, stanza, Way::Out, marks, true, false, |entry| Step::Sent { stanza: stanza.clone(), entry })
}

/// A message that is not archived has only its copies, which must not overtake those of what was sent before.
async fn sent_without_entry(context: &mut Context<'_>, stanza: &Arc<Envelope>) {
    match &stanza.from {
        Some(from) if context.account.log.is_under_way(from, Way::Out) && context.sessions().len() > 1 => {
            let from = Some((from.clone(), Way::Out));
            line_up(context, from, Step::SentBehind { stanza: stanza.clone() });
        }
        _ => message::sent(context, stanza.clone()).await,
    }
}

/// A message for the account that is accepted. `is_taken`: somebody takes it now.
///
/// # Errors
/// What its sender is to be told; nothing has happened.
pub(super) async fn received(
    context: &mut Context<'_>,
    stanza: Arc<Envelope>,
    archived: bool,
    is_taken: bool,
) -> Result<(), StanzaError> {
    let mut marks = Marks { ingress: None, origin: origin(&stanza) };
    if archived || !is_taken {
        context.account.load_log(context.ports).await?;
        marks.ingress = context.ports.ingress();
    }
    if is_again(context, &stanza, marks, archived) {
        return Ok(());
    }
    let is_taken = is_taken && !would_overtake(context, &stanza).await?;
    let waits = match is_taken {
        true => false,
        false => match message::fate(context, &stanza, true).await {
            Fate::Waits => true,
            Fate::Dropped | Fate::Unwanted if archived => false,
            Fate::Dropped => return Ok(()),
            Fate::Unwanted => return Err(Condition::ServiceUnavailable.into()),
            Fate::Refused(error) => return Err(error),
        },
    };
    if archived || waits {
        let step = |entry| Step::Received { stanza: stanza.clone(), entry, waits };
        return append(context, &stanza, Way::In, marks, archived, waits, step);
    }
    if must_wait(context, &stanza) {
        stay_behind(context, stanza);
        return Ok(());
    }
    context.account.log.recent.insert(LogId(0), marks);
    message::hand_out(context, &stanza).await;
    Ok(())
}

/// Whether the stanza must not be handled yet, because something older of its sender is not durable.
pub(super) fn must_wait(context: &Context<'_>, stanza: &Envelope) -> bool {
    let log = &context.account.log;
    log.is_busy() && stanza.from.as_ref().is_some_and(|from| from.is_full() && log.is_under_way(from, Way::In))
}

/// Lets a stanza that needs no entry wait for those before it.
pub(super) fn stay_behind(context: &mut Context<'_>, stanza: Arc<Envelope>) {
    let marks = marks(context, &stanza);
    if is_again(context, &stanza, marks, false) {
        return;
    }
    if !context.account.log.has_room_behind() {
        tracing::debug!(account = %context.account.jid, "too much waits behind entries of the log: a stanza is refused");
        return bounce(context, &stanza, &overloaded());
    }
    context.account.log.recent.insert(LogId(0), marks);
    let from = stanza.from.clone().map(|from| (from, Way::In));
    line_up(context, from, Step::Behind { stanza });
}

/// Sees to a stanza that has come before; `archived`: its entry is one that the archive shows.
fn is_again(context: &mut Context<'_>, stanza: &Arc<Envelope>, marks: Marks, archived: bool) -> bool {
    let Some(first) = context.account.log.recent.find(marks) else { return false };
    tracing::debug!(account = %context.account.jid, "a stanza has come before");
    if context.account.log.is_entry_under_way(first) {
        line_up(context, None, Step::Again { stanza: stanza.clone(), marks });
    } else if archived && context.account.log.recent.claim(first) {
        let step = |stanza, entry| Step::Received { stanza, entry, waits: false };
        once_more(context, stanza, Way::In, first, step);
    }
    true
}

/// An earlier leader has stored a message, and may not have delivered it: to the sessions that have not got it. An entry that the archive
/// does not show waits in the log for them.
fn once_more(
    context: &mut Context<'_>,
    stanza: &Arc<Envelope>,
    way: Way,
    id: LogId,
    step: impl FnOnce(Arc<Envelope>, Entry) -> Step,
) {
    let mut again = Envelope::clone(stanza);
    again.flags.set(Flags::AGAIN);
    let from = stanza.from.clone().map(|from| (from, way));
    let step = step(Arc::new(again), Entry { id, archived: true });
    hand_over(context, Vec::new(), from, id, Wait::No, step);
}

/// Whether a message to a resource that is connected but takes no messages of the account would overtake what waits from the same
/// sender (P3): then it waits too.
async fn would_overtake(context: &Context<'_>, stanza: &Envelope) -> Result<bool, StanzaError> {
    let log = &context.account.log;
    let Some(from) = stanza.from.as_ref().filter(|_| log.waiting() > 0 && !message::is_for_taker(context, stanza))
    else {
        return Ok(false);
    };
    if log.is_waiting_under_way(from) {
        return Ok(true);
    }
    let query = LogQuery {
        view: View::Waiting,
        peer: Some(from.clone()),
        after: None,
        before: None,
        ids: None,
        limit: 1,
        backwards: false,
    };
    Ok(!context.ports.store().log_page(&context.account.jid, &query).await?.is_empty())
}

/// Has the world wait for what is under way.
fn line_up(context: &mut Context<'_>, from: Option<(Jid, Way)>, step: Step) {
    hand_over(context, Vec::new(), from, LogId(0), Wait::No, step);
}

fn hand_over(
    context: &mut Context<'_>,
    changes: Vec<Change>,
    from: Option<(Jid, Way)>,
    id: LogId,
    wait: Wait,
    step: Step,
) {
    let number = context.account.log.begin(from, id, wait);
    context.ports.log(&context.account.jid, changes, Logged { number, step });
}

/// Makes an entry of a message and hands it over. The log's state must be known.
fn append(
    context: &mut Context<'_>,
    stanza: &Envelope,
    way: Way,
    marks: Marks,
    archived: bool,
    waits: bool,
    step: impl FnOnce(Entry) -> Step,
) -> Result<(), StanzaError> {
    let peer = match way {
        Way::In => &stanza.from,
        Way::Out => &stanza.to,
    };
    let Some(peer) = peer.clone() else { return Err(Condition::BadRequest.into()) };
    if !context.account.log.has_room() {
        return Err(overloaded());
    }
    let id = context.account.log.next_id(context.ports.now(), waits);
    context.account.log.recent.insert(id, marks);
    let mut alone = Vec::new();
    stanza.write_alone(&mut alone);
    let Marks { ingress, origin } = marks;
    let entry = LogEntry { id, peer, ingress, origin, archived, waiting: waits, stanza: alone.into() };
    let from = stanza.from.clone().map(|from| (from, way));
    let wait = if waits { Wait::Yes } else { Wait::No };
    hand_over(context, vec![Change::Log(entry)], from, id, wait, step(Entry { id, archived }));
    Ok(())
}

/// An event that was handed over comes back.
pub(crate) async fn logged(context: &mut Context<'_>, step: Step, outcome: Result<(), StoreError>, wait: Wait) {
    match (step, outcome) {
        (Step::Received { .. } | Step::Waits { .. }, Ok(())) if wait == Wait::HandedOn => {}
        (Step::Received { stanza, entry, waits }, Ok(())) => deliver(context, stanza, entry, waits).await,
        (Step::Received { stanza, entry, waits }, Err(error)) => {
            if waits {
                context.account.log.count_waiting(false);
            }
            refused(context, &stanza, entry, error);
        }
        (Step::Sent { stanza, entry }, Ok(())) => {
            let stanza = with_stanza_id(context, stanza, entry);
            message::sent(context, stanza).await;
        }
        (Step::Sent { stanza, entry }, Err(error)) => refused(context, &stanza, entry, error),
        // There was no room for it to wait, and what it must not overtake is still on its way.
        (Step::Behind { stanza }, Err(error)) if must_wait(context, &stanza) => {
            let marks = marks(context, &stanza);
            context.account.log.recent.forget_unlogged(marks);
            bounce(context, &stanza, &error.into());
        }
        (Step::Behind { stanza }, _) if matches!(stanza.kind, StanzaType::Message(_)) => {
            deliver_behind(context, stanza).await;
        }
        (Step::Behind { stanza }, _) => at_account(context, stanza).await,
        (Step::SentBehind { stanza }, _) => message::sent(context, stanza).await,
        (Step::Again { stanza, marks }, outcome) => {
            let log = &context.account.log;
            // The first was refused, or there was no room to wait for it.
            let is_done = |first| outcome.is_ok() || !log.is_entry_under_way(first);
            if !log.recent.find(marks).is_some_and(is_done) {
                bounce(context, &stanza, &StanzaError::new(Condition::ResourceConstraint));
            }
        }
        (Step::Waits { stanza, id }, Ok(())) => hand_back(context, stanza, id, wait),
        (Step::Settled, Ok(())) => {}
        (Step::Waits { .. }, Err(error)) => {
            context.account.log.count_waiting(false);
            tracing::warn!(account = %context.account.jid, %error, "a message is in the archive, but waits for nobody");
        }
        (Step::Settled, Err(error)) => {
            tracing::warn!(account = %context.account.jid, %error, "offline messages will be handed on again");
        }
    }
}

/// The entry could not be made: the sender is told, unless a newer leader of the shard sees to the message.
fn refused(context: &mut Context<'_>, stanza: &Envelope, entry: Entry, error: StoreError) {
    context.account.log.recent.forget(entry.id);
    if error != StoreError::Fenced {
        bounce(context, stanza, &error.into());
    }
}

/// A message is in the log: to whoever takes it now.
async fn deliver(context: &mut Context<'_>, stanza: Arc<Envelope>, entry: Entry, waits: bool) {
    if waits && !message::is_for_taker(context, &stanza) {
        // Whoever takes messages next is handed what waits, this among it.
        return;
    }
    let stanza = with_stanza_id(context, stanza, entry);
    // Something older may have come to wait since it came; where the store can't tell, it may have. What can't wait goes on all the same.
    if !waits && would_overtake(context, &stanza).await.unwrap_or(true) && wait_again(context, &stanza).await {
        return;
    }
    let is_taken = is_taken(message::hand_out(context, &stanza).await);
    match (is_taken, waits) {
        (true, false) | (false, true) => {}
        (true, true) => settle_only_one(context, entry.id),
        (false, false) => {
            wait_again(context, &stanza).await;
        }
    }
}

/// A message that needed no entry when it came: to whoever takes it now, or it may need one after all.
async fn deliver_behind(context: &mut Context<'_>, stanza: Arc<Envelope>) {
    let outcome = match message::hand_out(context, &stanza).await {
        Verdict::Keep => match message::fate(context, &stanza, true).await {
            Fate::Waits => wait(context, &stanza).await,
            Fate::Dropped => Ok(()),
            Fate::Unwanted => Err(Condition::ServiceUnavailable.into()),
            Fate::Refused(error) => Err(error),
        },
        Verdict::Bounce => Err(Condition::ServiceUnavailable.into()),
        _ => Ok(()),
    };
    if let Err(error) = outcome {
        bounce(context, &stanza, &error);
    }
}

/// An entry waits again. If somebody takes messages by now, that one has been handed what waited before it. A resource that is only
/// connected has not.
fn hand_back(context: &mut Context<'_>, stanza: Arc<Envelope>, id: LogId, wait: Wait) {
    if message::is_for_taker(context, &stanza) {
        message::hand_back(context, &stanza);
        settle_only_one(context, id);
    } else if wait == Wait::PassedOver {
        hand_over(context, vec![Change::LogWait(id)], None, id, Wait::Yes, Step::Waits { stanza, id });
    }
}

/// An entry that waited has just been handed to whoever takes messages now, and who has been handed what waited before. Where that
/// failed, all of it waits on.
fn settle_only_one(context: &mut Context<'_>, id: LogId) {
    if context.account.log.is_only_one_waiting() {
        settle(context, &[id]);
    }
}

fn is_taken(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::ToResource | Verdict::ToTakers)
}

async fn wait(context: &mut Context<'_>, stanza: &Arc<Envelope>) -> Result<(), StanzaError> {
    context.account.load_log(context.ports).await?;
    let marks = marks(context, stanza);
    let step = |entry| Step::Received { stanza: stanza.clone(), entry, waits: true };
    append(context, stanza, Way::In, marks, false, true, step)
}

/// A message that is in the log has come to nobody: it waits, if it may. It is in the archive anyhow, so that its sender has nothing to
/// be told. `false`: it may not.
pub(super) async fn wait_again(context: &mut Context<'_>, stanza: &Arc<Envelope>) -> bool {
    let id = LogId(stanza.logged);
    if message::fate(context, stanza, true).await != Fate::Waits {
        return false;
    }
    context.account.log.count_waiting(true);
    let step = Step::Waits { stanza: stanza.clone(), id };
    hand_over(context, vec![Change::LogWait(id)], None, id, Wait::Yes, step);
    true
}

/// Entries that waited have been handed on, the oldest ones, in order.
pub(crate) fn settle(context: &mut Context<'_>, ids: &[LogId]) {
    let Some(up_to) = ids.last().copied() else { return };
    context.account.log.settle(ids);
    hand_over(context, vec![Change::LogSettle { up_to }], None, LogId(0), Wait::No, Step::Settled);
}

/// The owner's copy of an archived message: with its id there (XEP-0313 §3.2, XEP-0359). Others never see it.
fn with_stanza_id(context: &Context<'_>, mut stanza: Arc<Envelope>, entry: Entry) -> Arc<Envelope> {
    if entry.archived {
        bear_id(Arc::make_mut(&mut stanza), &context.account.jid, entry.id);
    }
    stanza
}

fn marks(context: &Context<'_>, stanza: &Envelope) -> Marks {
    Marks { ingress: context.ports.ingress(), origin: origin(stanza) }
}

/// How the sender calls a message that only one entity can have sent (XEP-0359).
fn origin(stanza: &Envelope) -> Option<Mark> {
    if !matches!(stanza.kind, StanzaType::Message(MessageType::Chat | MessageType::Normal)) {
        return None;
    }
    Some(Mark::origin(&stanza.from_bare()?, &OriginId::of(stanza)?.id))
}

fn overloaded() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_text("the database is behind: try again later")
}
