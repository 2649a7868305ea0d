//! XEP-0077: In-Band Registration (version 2.4).
//!
//! Makes an account before authentication (§3.1), and lets an authenticated user change the password (§3.3) and remove the
//! account (§3.2), each its own alone (T51). Off unless switched on: an open server is found by spammers within days. How often one
//! address may register is the connection manager's limit. Left out: forms and redirection (§4, §5).

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vesta_engine::hooks::{Context, Hooks, IqAnswer, IqHandler, IqRequest, RegistrationHandler, Scope};
use vesta_engine::module::{Module, Spec, Status};
use vesta_xmpp::payload::register::Register;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Secret, StanzaError, jid, ns};

/// What is fulfilled.
pub const SPEC: Spec = Spec {
    number: 77,
    title: "In-Band Registration",
    version: "2.4",
    status: Status::Partial,
    since: "0.1.0",
    note: "accounts of the server, without forms; off by default",
};

/// Key `registration`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the module is there. Default: false.
    pub enabled: bool,
    /// Whether everybody may make an account, before authentication. Default: true. Switched off, users can still change
    /// their password and remove their account.
    pub new_accounts: bool,
    /// What people are told to do. Default: "Choose a username and a password."
    pub instructions: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: false, new_accounts: true, instructions: "Choose a username and a password.".into() }
    }
}

/// The module.
pub struct Registration {
    config: Config,
}

/// Answers authenticated users.
struct OwnAccount;

/// Answers before authentication.
struct NewAccount {
    instructions: String,
}

impl Registration {
    /// With `config`.
    pub fn new(config: &Config) -> Self {
        Self { config: config.clone() }
    }
}

impl Module for Registration {
    fn name(&self) -> &'static str {
        "registration"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.server.feature(ns::REGISTER);
        for scope in [Scope::Server, Scope::OwnAccount] {
            hooks.iq_get(ns::REGISTER, "query", scope, Arc::new(OwnAccount));
            hooks.iq_set(ns::REGISTER, "query", scope, Arc::new(OwnAccount));
        }
        if self.config.new_accounts {
            hooks.registration(Arc::new(NewAccount { instructions: self.config.instructions.clone() }));
        }
    }
}

#[async_trait]
impl RegistrationHandler for NewAccount {
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer {
        if !request.is_set() {
            let instructions = Some(self.instructions.clone());
            return Ok(Some(Register { instructions, ..empty_fields() }.to_element()));
        }
        let given = Register::parse(&request.payload()?)?;
        if given.remove {
            return Err(Condition::NotAuthorized.into());
        }
        // §3.1: not-acceptable where something required is missing.
        let Some(password) = non_empty(given.password) else { return Err(Condition::NotAcceptable.into()) };
        if given.username.is_none() || context.account.jid.local().is_none() {
            return Err(Condition::NotAcceptable.into());
        }
        context.create_account(&password).await?;
        tracing::info!(account = %context.account.jid, "account registered");
        Ok(None)
    }
}

#[async_trait]
impl IqHandler for OwnAccount {
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer {
        if !is_own(context, request) {
            return Err(Condition::NotAllowed.into());
        }
        if !request.is_set() {
            let username = context.account.jid.local().map(Into::into);
            return Ok(Some(Register { registered: true, username, ..empty_fields() }.to_element()));
        }
        let given = Register::parse(&request.payload()?)?;
        match given.remove {
            true => remove(context).await,
            false => change_password(context, given).await,
        }
    }
}

/// Whether a session of the account asks its own host: not another one, and not from another one (T51).
fn is_own(context: &Context<'_>, request: &IqRequest<'_>) -> bool {
    let account = &context.account.jid;
    context.session.is_some()
        && request.from.bare_str() == account.as_str()
        && request.stanza.to.as_ref().is_none_or(|to| to.domain() == account.domain())
}

async fn remove(context: &mut Context<'_>) -> IqAnswer {
    context.remove_account().await?;
    tracing::info!(account = %context.account.jid, "account removed by its owner");
    Ok(None)
}

async fn change_password(context: &mut Context<'_>, given: Register) -> IqAnswer {
    let (Some(username), Some(password)) = (given.username, non_empty(given.password)) else {
        return Err(Condition::BadRequest.into());
    };
    let username = jid::prepare_local(&username).map_err(|_| StanzaError::new(Condition::NotAcceptable))?;
    if context.account.jid.local() != Some(&*username) {
        return Err(Condition::Forbidden.into());
    }
    context.set_password(&password).await?;
    tracing::info!(account = %context.account.jid, "password changed by its owner");
    Ok(None)
}

/// The fields that are asked for.
fn empty_fields() -> Register {
    Register { username: Some(String::new()), password: Some("".into()), ..Register::default() }
}

fn non_empty(password: Option<Secret>) -> Option<Secret> {
    password.filter(|password| !password.expose().is_empty())
}

#[cfg(test)]
mod tests {
    use vesta_engine::testing::World;
    use vesta_xmpp::stream_error::StreamCondition;
    use vesta_xmpp::{Envelope, IqType, StanzaType};

    use super::*;
    use crate::transcript::iq_error;

    fn world(new_accounts: bool) -> World {
        World::new(vec![Arc::new(Registration::new(&Config { new_accounts, ..Config::default() }))])
    }

    fn query(fields: &str) -> String {
        format!("<query xmlns='jabber:iq:register'>{fields}</query>")
    }

    fn set(fields: &str) -> String {
        format!("<iq type='set' id='reg2' to='example.com'>{}</iq>", query(fields))
    }

    fn text(stanza: &Envelope) -> String {
        let mut out = Vec::new();
        stanza.write(&mut out, None);
        String::from_utf8(out).expect("UTF-8")
    }

    /// §3.1: the fields are asked for, then filled in; the name is then taken.
    #[test]
    fn an_account_is_made_before_authentication() {
        let world = world(true);
        let asked = format!("<iq type='get' id='reg1' to='example.com'>{}</iq>", query(""));
        let answer = text(&world.register("example.com", "example.com", &asked));
        assert!(answer.contains("<username/><password/></query>"), "{answer}");

        let bill = set("<username>bill</username><password>Calliope</password>");
        let made = world.register("bill@example.com", "example.com", &bill);
        assert_eq!(made.kind, StanzaType::Iq(IqType::Result));
        let again = world.register("bill@example.com", "example.com", &bill);
        assert!(text(&again).contains("<conflict "), "{}", text(&again));
    }

    /// §3.1: what is required and missing is not acceptable.
    #[test]
    fn a_registration_without_name_or_password_is_refused() {
        let world = world(true);
        for (account, fields, condition) in [
            ("bill@example.com", "<username>bill</username>", "<not-acceptable "),
            ("bill@example.com", "<username>bill</username><password/>", "<not-acceptable "),
            ("example.com", "<password>Calliope</password>", "<not-acceptable "),
            ("bill@example.com", "<remove/>", "<not-authorized "),
        ] {
            let answer = text(&world.register(account, "example.com", &set(fields)));
            assert!(answer.contains(condition), "{fields}: {answer}");
        }
    }

    #[test]
    fn new_accounts_can_be_switched_off_alone() {
        assert!(world(true).engine().offers_registration("example.com"));
        assert!(!world(false).engine().offers_registration("example.com"));
        let modules = crate::all(&crate::Config::default(), vesta_engine::Timestamp(0));
        assert!(!World::new(modules).engine().offers_registration("example.com"));
    }

    /// §3.1: who is registered is told so.
    #[test]
    fn a_user_is_told_that_the_account_is_registered() {
        let world = world(true);
        let juliet = world.online("juliet@example.com/balcony");
        juliet.sends(&format!("<iq type='get' id='reg1' to='example.com'>{}</iq>", query("")));
        let fields = query("<registered/><username>juliet</username><password/>");
        juliet.receives(&format!("<iq type='result' id='reg1' from='example.com'>{fields}</iq>"));
    }

    /// §3.3, T20: the password changes, and the other sessions end.
    #[test]
    fn a_new_password_ends_the_other_sessions() {
        let world = world(true);
        let juliet = world.online("juliet@example.com/balcony");
        let phone = world.online("juliet@example.com/phone");
        world.forget_received();
        juliet.sends(&set("<username>Juliet</username><password>nurse</password>"));
        assert!(phone.closed_with().is_some() && juliet.closed_with().is_none());
        let answers = std::iter::from_fn(|| juliet.takes());
        assert!(answers.into_iter().any(|it| it.kind == StanzaType::Iq(IqType::Result)));
    }

    /// T51: somebody else's password is out of reach, whether there is such an account or not.
    #[test]
    fn somebody_elses_password_can_not_be_changed() {
        let world = world(true);
        let juliet = world.online("juliet@example.com/balcony");
        world.account("romeo@example.com");
        for name in ["romeo", "nobody"] {
            let fields = format!("<username>{name}</username><password>x</password>");
            juliet.sends(&set(&fields));
            juliet.receives(&iq_error("id='reg2' from='example.com'", &query(&fields), "auth", "forbidden"));
        }
        let fields = "<password>x</password>";
        juliet.sends(&set(fields));
        juliet.receives(&iq_error("id='reg2' from='example.com'", &query(fields), "modify", "bad-request"));
    }

    /// T51: nobody registers, changes or removes anything from another server.
    #[test]
    fn users_of_other_hosts_are_refused() {
        let world = world(true);
        let romeo = world.online("romeo@example.net/orchard");
        romeo.sends(&set("<remove/>"));
        romeo.receives(&iq_error("id='reg2' from='example.com'", &query("<remove/>"), "cancel", "not-allowed"));
        assert!(romeo.session().is_some());
    }

    /// §3.2: the account goes, and its sessions with it.
    #[test]
    fn an_account_is_removed_by_its_owner() {
        let world = world(true);
        let juliet = world.online("juliet@example.com/balcony");
        juliet.sends(&set("<remove/>"));
        assert_eq!(juliet.closed_with(), Some(StreamCondition::NotAuthorized));
        let bill = set("<username>juliet</username><password>Calliope</password>");
        let made = world.register("juliet@example.com", "example.com", &bill);
        assert_eq!(made.kind, StanzaType::Iq(IqType::Result), "the name is free again");
    }
}
