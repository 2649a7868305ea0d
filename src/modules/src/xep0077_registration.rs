//! XEP-0077: In-Band Registration (version 2.4).
//!
//! Makes an account before authentication (§3.1), and lets an authenticated user change the password (§3.3) and remove the
//! account (§3.2), each its own alone (T51). Off unless switched on: an open server is found by spammers within days. How often one
//! address may register is the connection manager's limit. Left out: forms and redirection (§4, §5).

use std::sync::Arc;

use async_trait::async_trait;
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        let own = request.from.bare_str() == context.account.jid.as_str();
        // A session of this server's, that is: nobody registers from another server (T51).
        if context.session.is_none() || !own {
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
