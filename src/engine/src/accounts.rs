//! Accounts are made, get a new password, and are removed: for the administrator and for modules alike.
//!
//! A password is kept as SCRAM verifiers only (T17), one for each hash function, and whatever it opened ends with it (T20).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use vesta_xmpp::sasl::scram::{self, Keys};
use vesta_xmpp::sasl::{Hash, prepare_password};
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{Secret, StreamError};

use crate::Ports;
use crate::engine::AdminError;
use crate::hooks::{AccountError, AccountRemoved, Context};
use crate::ports::Undecided;
use crate::roster::subscribing;
use crate::store::{Credentials, Verifier};

/// Bytes of a salt. Those of unknown accounts are as long.
pub(crate) const SALT_BYTES: usize = 16;

const HASHES: [Hash; 3] = [Hash::Sha1, Hash::Sha256, Hash::Sha512];

pub(crate) async fn create(context: &mut Context<'_>, password: &Secret) -> Result<(), AccountError> {
    if context.account.jid.local().is_none() {
        return Err(AccountError::Exists); // the address of the server itself
    }
    let credentials = credentials(context, password).await?;
    let ports = context.ports;
    context.account.reset(None);
    let made = ports.store().create_account(ports.fence(), &context.account.jid, &credentials, ports.now()).await;
    context.logins.forget(&context.account.jid);
    let made = made?;
    context.account.reset(Some(true));
    if made { Ok(()) } else { Err(AccountError::Exists) }
}

pub(crate) async fn set_password(context: &mut Context<'_>, password: &Secret) -> Result<(), AccountError> {
    let credentials = credentials(context, password).await?;
    let ports = context.ports;
    let changed = ports.store().set_credentials(ports.fence(), &context.account.jid, &credentials).await;
    // Also after an error: it may have happened.
    context.logins.forget(&context.account.jid);
    if !changed? {
        return Err(AccountError::NotFound);
    }
    end_other_sessions(context, || parting("the password has been changed")).await;
    Ok(())
}

pub(crate) async fn remove(context: &mut Context<'_>) -> Result<(), AccountError> {
    let ports = context.ports;
    // Read before it is gone, told after: the contacts learn of nothing that has not happened.
    let contacts: Vec<_> = context.account.roster(ports).await?.items().cloned().collect();
    context.account.reset(None);
    let removed = ports.store().remove_account(ports.fence(), &context.account.jid).await;
    context.logins.forget(&context.account.jid);
    if !removed? {
        return Err(AccountError::NotFound);
    }
    context.account.reset(Some(false));
    for item in &contacts {
        subscribing::cancel(context, item);
    }
    let hooks = context.hooks;
    hooks.account_removed.run(context, &mut AccountRemoved).await;
    let error = || parting("the account has been removed");
    end_other_sessions(context, error).await;
    context.parting = Some(error());
    Ok(())
}

/// Ends one session of the account, or all.
pub(crate) async fn close(context: &Context<'_>, resource: Option<&str>) -> Result<(), AdminError> {
    let sessions = context.sessions();
    let meant = sessions.iter().filter(|session| resource.is_none_or(|resource| session.jid.resource() == resource));
    let mut found = resource.is_none();
    for session in meant {
        found = true;
        let error = StreamError::new(StreamCondition::UndefinedCondition).with_text("closed by an administrator");
        context.ports.close(&context.account.jid, session.key, error).await;
    }
    if found { Ok(()) } else { Err(AdminError::NotFound("session")) }
}

/// Ends the account's sessions but that of this event, if it has one.
async fn end_other_sessions(context: &Context<'_>, error: impl Fn() -> StreamError) {
    let own = context.session.map(|session| session.key);
    for session in context.sessions().iter().filter(|session| Some(session.key) != own) {
        context.ports.close(&context.account.jid, session.key, error()).await;
    }
}

fn parting(why: &str) -> StreamError {
    StreamError::new(StreamCondition::NotAuthorized).with_text(why)
}

/// The verifiers of a password as typed.
async fn credentials(context: &Context<'_>, password: &Secret) -> Result<Credentials, AccountError> {
    let password = prepare_password(password)
        .ok_or(AccountError::Password("it is empty, or holds characters that are not allowed"))?;
    let iterations = context.settings.scram_iterations;
    let salts = HASHES.map(|hash| (hash, salt(context.ports)));
    let derive = move || {
        let verifiers = salts.into_iter().map(|(hash, salt)| {
            let Keys { stored_key, server_key } = Keys::derive(hash, &password, &salt, iterations);
            (hash, Verifier { salt, iterations, stored_key, server_key })
        });
        Credentials { verifiers: verifiers.collect::<BTreeMap<_, _>>() }
    };
    Ok(run_blocking(context.ports, derive).await?)
}

/// 128 random bits, spread evenly over the bytes of a salt.
fn salt(ports: &dyn Ports) -> Vec<u8> {
    let mut salt = hmac(&Secret::from(ports.random_id().as_str()), b"salt");
    salt.truncate(SALT_BYTES);
    salt
}

/// HMAC-SHA-256: what RFC 5802 calls ServerSignature is just that.
pub(crate) fn hmac(key: &Secret, message: &[u8]) -> Vec<u8> {
    scram::server_signature(Hash::Sha256, key, message)
}

/// [`Ports::run_blocking`] for work with a result. Fails where the work was not run: the process is going down.
pub(crate) async fn run_blocking<T: Send + 'static>(
    ports: &dyn Ports,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Undecided> {
    let result = Arc::new(Mutex::new(None));
    let slot = result.clone();
    let work = move || {
        let value = work();
        *slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(value);
    };
    ports.run_blocking(Box::new(work)).await;
    let value = result.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    value.ok_or(Undecided)
}

#[cfg(test)]
mod tests {
    use vesta_xmpp::stream_error::StreamCondition;
    use vesta_xmpp::{BareJid, Secret};

    use crate::engine::{AdminCommand, AdminError};
    use crate::testing::World;

    const JULIET: &str = "juliet@example.com";
    const BALCONY: &str = "juliet@example.com/balcony";

    fn create(password: &str) -> AdminCommand {
        AdminCommand::Create { password: Secret::from(password) }
    }

    fn set_password(password: &str) -> AdminCommand {
        AdminCommand::SetPassword { password: Secret::from(password) }
    }

    #[test]
    fn an_account_is_made_once() {
        let world = World::new(Vec::new());
        assert_eq!(world.administer(JULIET, create("secret")), Ok(()));
        assert_eq!(world.administer(JULIET, create("other")), Err(AdminError::Exists));
        assert_eq!(world.administer("example.com", create("secret")), Err(AdminError::Exists));
        let elsewhere = world.administer("juliet@nowhere.example", create("secret"));
        assert_eq!(elsewhere, Err(AdminError::UnknownHost("nowhere.example".into())));
        assert!(matches!(world.administer("nurse@example.com", create("")), Err(AdminError::Password(_))));
    }

    /// T20
    #[test]
    fn a_new_password_ends_all_sessions() {
        let world = World::new(Vec::new());
        let juliet = world.online(BALCONY);
        assert_eq!(world.administer(JULIET, set_password("new")), Ok(()));
        assert_eq!(juliet.closed_with(), Some(StreamCondition::NotAuthorized));
        let unknown = world.administer("nobody@example.com", set_password("new"));
        assert_eq!(unknown, Err(AdminError::NotFound("account")));
    }

    /// T20; RFC 6121 §2.5.2 and §3 for the contacts.
    #[test]
    fn a_removed_account_is_gone_for_its_sessions_and_its_contacts() {
        let world = World::new(Vec::new());
        world.befriend(JULIET, "romeo@example.net");
        let juliet = world.online(BALCONY);
        let romeo = world.online("romeo@example.net/orchard");
        assert_eq!(world.administer(JULIET, AdminCommand::Remove), Ok(()));
        assert_eq!(juliet.closed_with(), Some(StreamCondition::NotAuthorized));
        let push = |subscription: &str| {
            format!(
                "<iq type='set' id='*'><query xmlns='jabber:iq:roster' ver='*'>\
                 <item jid='juliet@example.com' subscription='{subscription}'/></query></iq>"
            )
        };
        romeo.receives("<presence type='unsubscribe' from='juliet@example.com'/>");
        romeo.receives(&push("to"));
        romeo.receives("<presence type='unsubscribed' from='juliet@example.com'/>");
        romeo.receives(&push("none"));
        romeo.receives("<presence type='unavailable' from='juliet@example.com/balcony'/>");
        world.nobody_receives_anything();
        assert_eq!(world.administer(JULIET, AdminCommand::Remove), Err(AdminError::NotFound("account")));
        assert_eq!(world.store().roster_items(&BareJid::parse(JULIET).expect("a JID")), []);
    }

    #[test]
    fn one_session_is_closed_or_all() {
        let world = World::new(Vec::new());
        let balcony = world.online(BALCONY);
        let chamber = world.online("juliet@example.com/chamber");
        let close = |resource: Option<&str>| AdminCommand::CloseSessions { resource: resource.map(str::to_owned) };
        assert_eq!(world.administer(JULIET, close(Some("attic"))), Err(AdminError::NotFound("session")));
        assert_eq!(world.administer(JULIET, close(Some("balcony"))), Ok(()));
        assert!(balcony.session().is_none() && chamber.session().is_some());
        assert_eq!(world.administer(JULIET, close(None)), Ok(()));
        assert!(chamber.session().is_none());
    }
}
