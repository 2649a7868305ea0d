//! What comes in: told, answered, or handed to whoever waits for it.

use vesta_xmpp::payload::roster::Roster;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, IqType, StanzaError, StanzaType, ns};

use super::Session;
use crate::Error;
use crate::event::{Event, IqRequest};

impl Session<'_> {
    /// Tells of a stanza, answers it, or hands it to whoever waits for it.
    pub(super) fn dispatch(&mut self, stanza: Envelope) -> Result<(), Error> {
        match stanza.kind {
            StanzaType::Message(_) => return self.message(stanza),
            StanzaType::Presence(_) => self.tell(Event::Presence(stanza)),
            StanzaType::Iq(IqType::Result | IqType::Error) => self.connection.pending.resolve(stanza, &self.own),
            StanzaType::Iq(IqType::Get | IqType::Set) => return self.asked(stanza),
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.connection.undelivered.push_back(event);
    }

    fn asked(&mut self, request: Envelope) -> Result<(), Error> {
        let is = |namespace: &str| request.payload.as_ref().is_some_and(|it| *it.namespace == *namespace);
        match request.kind {
            StanzaType::Iq(IqType::Get) if is(ns::PING) => self.send(request.result(None)),
            StanzaType::Iq(IqType::Set) if is(ns::ROSTER) => self.roster_push(&request),
            _ => match self.connection.answers.clone().try_reserve_owned() {
                Ok(permit) => {
                    self.tell(Event::Request(IqRequest::new(request, permit)));
                    Ok(())
                }
                Err(_) => self.refuse(&request, &StanzaError::new(Condition::ResourceConstraint)),
            },
        }
    }

    fn refuse(&mut self, request: &Envelope, error: &StanzaError) -> Result<(), Error> {
        request.error(error).map_or(Ok(()), |answer| self.send(answer))
    }

    /// RFC 6121 §2.1.6: from anybody but the own account it must be ignored (T23), or the roster could be forged.
    fn roster_push(&mut self, push: &Envelope) -> Result<(), Error> {
        if push.from.as_ref().is_some_and(|from| from.as_str() != self.own.bare_str()) {
            tracing::debug!(from = ?push.from, "a forged roster push");
            return Ok(());
        }
        let roster = push.payload_element().ok().flatten().and_then(|query| Roster::parse(&query).ok());
        match roster.map(|roster| (roster.version, <[_; 1]>::try_from(roster.items))) {
            Some((version, Ok([item]))) => {
                self.tell(Event::RosterPush { version, item });
                self.send(push.result(None))
            }
            _ => self.refuse(push, &StanzaError::new(Condition::BadRequest)),
        }
    }
}
