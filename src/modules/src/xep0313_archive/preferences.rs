//! XEP-0441: what an owner wants archived.
//!
//! The preferences are one value of the store, cached with the account once they have been read: a message asks the store nothing.

use std::sync::Arc;

use async_trait::async_trait;
use vesta_engine::StoreError;
use vesta_engine::hooks::{Context, Hooks, IqAnswer, IqHandler, IqRequest, Scope};
use vesta_engine::store::Change;
use vesta_xmpp::payload::archive::{Policy, Preferences};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Element, Jid, StanzaError, ns};

/// The key of an account's preferences in the store.
const KEY: &str = "archive";

/// What an owner has said, if anything.
#[derive(Debug)]
struct Cached(Option<Preferences>);

/// Answers `<prefs/>`.
struct Answer {
    default: Policy,
    addresses_max: usize,
}

pub(super) fn register(default: Policy, addresses_max: usize, hooks: &mut Hooks) {
    let answer = Arc::new(Answer { default, addresses_max });
    hooks.iq_get(ns::ARCHIVE, "prefs", Scope::OwnAccount, answer.clone());
    hooks.iq_set(ns::ARCHIVE, "prefs", Scope::OwnAccount, answer);
}

/// Whether the account's owner wants what is exchanged with `peer`.
///
/// # Errors
/// The store's, where something is not cached yet.
pub(super) async fn want(context: &mut Context<'_>, default: Policy, peer: &Jid) -> Result<bool, StoreError> {
    load(context).await?;
    let preferences = cached(context);
    let is_in = |list: &[Jid]| list.iter().any(|jid| covers(jid, peer));
    if let Some(preferences) = preferences {
        // XEP-0441 §2: who stands in both is not archived.
        if is_in(&preferences.never) {
            return Ok(false);
        }
        if is_in(&preferences.always) {
            return Ok(true);
        }
    }
    match preferences.map_or(default, |preferences| preferences.default) {
        Policy::Always => Ok(true),
        Policy::Never => Ok(false),
        Policy::Roster => {
            let ports = context.ports;
            let contact = peer.to_bare().into();
            Ok(context.account.roster(ports).await?.get(&contact).is_some_and(|item| item.listed))
        }
    }
}

/// A bare JID covers all of its resources.
fn covers(listed: &Jid, peer: &Jid) -> bool {
    if listed.is_full() { listed == peer } else { listed.as_str() == peer.bare_str() }
}

/// Makes sure that the preferences are cached.
async fn load(context: &mut Context<'_>) -> Result<(), StoreError> {
    if context.account.cached::<Cached>().is_some() {
        return Ok(());
    }
    let stored = context.ports.store().data(&context.account.jid, KEY).await?;
    let read = |bytes: &[u8]| Preferences::parse(&Element::parse(bytes).ok()?).ok();
    let preferences = match stored.as_deref().map(read) {
        Some(None) => {
            return Err(StoreError::Broken(format!(
                "the archive preferences of {} can't be read",
                context.account.jid
            )));
        }
        found => found.flatten(),
    };
    context.account.cache(Cached(preferences));
    Ok(())
}

fn cached<'a>(context: &'a Context<'_>) -> Option<&'a Preferences> {
    context.account.cached::<Cached>().and_then(|cached| cached.0.as_ref())
}

#[async_trait]
impl IqHandler for Answer {
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer {
        let payload = request.payload()?;
        if request.is_set() {
            self.set(context, Preferences::parse(&payload)?).await?;
        }
        load(context).await?;
        let unsaid = Preferences { default: self.default, always: Vec::new(), never: Vec::new() };
        Ok(Some(cached(context).unwrap_or(&unsaid).to_element()))
    }
}

impl Answer {
    async fn set(&self, context: &mut Context<'_>, preferences: Preferences) -> Result<(), StanzaError> {
        if preferences.always.len() + preferences.never.len() > self.addresses_max {
            let text = format!("more than {} addresses", self.addresses_max);
            return Err(StanzaError::new(Condition::PolicyViolation).with_text(text));
        }
        let value = preferences.to_element().to_bytes("");
        // Until it is known to be written, nobody knows what holds.
        context.account.forget_cached::<Cached>();
        context.write(vec![Change::DataPut { key: KEY.into(), value }]).await?;
        context.account.cache(Cached(Some(preferences)));
        Ok(())
    }
}
