//! The events of an account.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use vesta_xmpp::hash::HashMap;
use vesta_xmpp::sasl::{Answer, Question};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{BareJid, Envelope, IqType, Secret, StanzaError, StanzaType, ns};

use crate::hooks::{AccountError, Context, Hooks, IqRequest, Scope, SessionEnded};
use crate::log::LogId;
use crate::logins::Logins;
use crate::module::Module;
use crate::store::{Store, StoreError};
use crate::{Account, Host, Logged, Ports, Session, Timestamp, accounts, authentication, presence, roster, routing};

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many contacts a roster may hold; as many more may wait for an answer to their request. An entry costs some
    /// hundred bytes of the router's memory while its account is cached. Beyond: `policy-violation` for the client, silence for
    /// requests. Default 3,000.
    pub roster_items_max: usize,
    /// The SCRAM iterations of passwords set from now on. Each login costs the client that much, and the server with PLAIN
    /// (about 5 ms for 10,000). At least [`SCRAM_ITERATIONS_MIN`], which is the default.
    pub scram_iterations: u32,
}

/// Fewer iterations than this are never used (T17, XEP-0438).
pub const SCRAM_ITERATIONS_MIN: u32 = 10_000;

impl Default for Settings {
    fn default() -> Self {
        Self { roster_items_max: 3_000, scram_iterations: SCRAM_ITERATIONS_MIN }
    }
}

/// Everything the server decides. One for a process, shared by all shards.
pub struct Engine {
    settings: Settings,
    hosts: HashMap<String, Hooks>,
    /// The deployment's secret that unknown accounts' salts come from, once it has been read.
    pub(crate) decoy_secret: OnceLock<Secret>,
    /// Between SASL's two questions.
    pub(crate) logins: Logins,
}

/// What an administrator asks of an account. Runs among the account's other events.
#[derive(Clone, Debug)]
pub enum AdminCommand {
    /// Makes the account.
    Create {
        /// Its password, as typed.
        password: Secret,
    },
    /// Replaces the password and ends all sessions (T20).
    SetPassword {
        /// The new password, as typed.
        password: Secret,
    },
    /// Removes the account, its data and its sessions.
    Remove,
    /// Ends one session, or all.
    CloseSessions {
        /// The resourcepart; `None` for all.
        resource: Option<String>,
    },
}

/// Why an [`AdminCommand`] was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The account exists.
    #[error("the account exists already")]
    Exists,
    /// No such account or session.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The host is not served here.
    #[error("the domain {0} is not served here")]
    UnknownHost(String),
    /// The password can't be used.
    #[error("the password can't be used: {0}")]
    Password(String),
    /// Durable data can't be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cluster can't agree just now.
    #[error(transparent)]
    Undecided(#[from] crate::ports::Undecided),
}

impl From<AccountError> for AdminError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Exists => AdminError::Exists,
            AccountError::NotFound => AdminError::NotFound("account"),
            AccountError::Password(fault) => AdminError::Password(fault.to_owned()),
            AccountError::Store(error) => AdminError::Store(error),
            AccountError::Undecided(error) => AdminError::Undecided(error),
        }
    }
}

impl Engine {
    /// The engine of these virtual hosts, each with the modules that are switched on for it, in their order of running.
    pub fn new(settings: Settings, hosts: impl IntoIterator<Item = (Host, Vec<Arc<dyn Module>>)>) -> Self {
        let settings = Settings { scram_iterations: settings.scram_iterations.max(SCRAM_ITERATIONS_MIN), ..settings };
        let hosts = hosts.into_iter().map(|(host, modules)| (host.domain.clone(), hooks_of(host, modules))).collect();
        Self { settings, hosts, decoy_secret: OnceLock::new(), logins: Logins::default() }
    }

    /// The hooks of a virtual host, for what its modules have said of themselves.
    pub fn hooks(&self, domain: &str) -> Option<&Hooks> {
        self.hosts.get(domain)
    }

    /// The stream features that a virtual host advertises after authentication, beside those of the stream itself, as written
    /// XML. Empty where the host is not served.
    pub fn stream_features(&self, domain: &str) -> Bytes {
        let mut out = Vec::new();
        for feature in self.hooks(domain).map(Hooks::stream_features).unwrap_or_default() {
            feature.write(&mut out, ns::CLIENT);
        }
        out.into()
    }

    /// Whether a virtual host offers registration before authentication.
    pub fn offers_registration(&self, domain: &str) -> bool {
        self.hooks(domain).is_some_and(|hooks| hooks.registration_handler().is_some())
    }

    /// A stanza from a session's client. `from` is the session's full JID.
    pub async fn outbound(
        &self,
        account: &mut Account,
        session: &Arc<Session>,
        stanza: Arc<Envelope>,
        ports: &dyn Ports,
    ) {
        if let Some(mut context) = self.context(account, Some(session), ports) {
            routing::outbound(&mut context, session, stanza).await;
            if let Some(error) = context.parting.take() {
                ports.close(&context.account.jid, session.key, error).await;
            }
        }
    }

    /// A stanza for the account, from anywhere. Where it is for a virtual host itself, the account is the host's bare JID.
    pub async fn inbound(&self, account: &mut Account, stanza: Arc<Envelope>, ports: &dyn Ports) {
        if let Some(mut context) = self.context(account, None, ports) {
            routing::inbound(&mut context, stanza).await;
        }
    }

    /// What [`Ports::log`] was given is durable, or can't be.
    pub async fn logged(
        &self,
        account: &mut Account,
        logged: Logged,
        outcome: Result<(), StoreError>,
        ports: &dyn Ports,
    ) {
        let wait = account.log.end(logged.number);
        if let Some(mut context) = self.context(account, None, ports) {
            routing::logging::logged(&mut context, logged.step, outcome, wait).await;
        }
    }

    /// Takes away at most `limit` messages of a host that are older than its archives keep them, and what accounts that are gone have
    /// left. Returns how many it took: fewer than `limit` means that there are no more for now. For a timer.
    ///
    /// # Errors
    /// The store's: to be tried again later.
    pub async fn prune(&self, domain: &str, store: &dyn Store, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let retention = self.hooks(domain).and_then(|hooks| hooks.log_retention);
        let before = retention.map_or(0, |milliseconds| now.0.saturating_sub(milliseconds));
        store.log_prune(domain, LogId::first_of(Timestamp(before)), limit).await
    }

    /// A session has ended, in whatever way. `session` is its record as it was; it is no longer among the account's sessions.
    pub async fn ended(&self, account: &mut Account, session: &Arc<Session>, ports: &dyn Ports) {
        account.forget_session(session.key);
        let Some(mut context) = self.context(account, None, ports) else { return };
        presence::ended(&mut context, session).await;
        let hooks = context.hooks;
        if !hooks.session_ended.is_empty() {
            hooks.session_ended.run(&mut context, &mut SessionEnded { session: session.clone() }).await;
        }
    }

    /// A session's client may have missed presence: it is told anew, as with its initial presence (RFC 6121 §4.2.2).
    pub async fn refresh(&self, account: &mut Account, session: &Arc<Session>, ports: &dyn Ports) {
        let Some(mut context) = self.context(account, None, ports) else { return };
        presence::refresh(&mut context, session).await;
    }

    /// Stanzas that a session's client never took, in order: RFC 6121 §8 again, without that session.
    pub async fn undelivered(&self, account: &mut Account, stanzas: Vec<Arc<Envelope>>, ports: &dyn Ports) {
        let Some(mut context) = self.context(account, None, ports) else { return };
        for stanza in stanzas {
            routing::undelivered(&mut context, stanza).await;
        }
    }

    /// A step of SASL (T14: unknown accounts are answered like known ones).
    pub async fn authenticate(&self, question: Question, ports: &dyn Ports) -> Answer {
        authentication::answer(self, question, ports).await
    }

    /// In-band registration before authentication (XEP-0077): the IQ's answer. The account is the one that the request
    /// names, or the host's own bare JID where it names none.
    pub async fn register(
        &self,
        account: &mut Account,
        host: &BareJid,
        stanza: &Envelope,
        ports: &dyn Ports,
    ) -> Envelope {
        let answer = match self.context(account, None, ports) {
            Some(mut context) => registration(&mut context, host, stanza).await,
            None => Err(Condition::ServiceUnavailable.into()),
        };
        match answer {
            Ok(payload) => stanza.result(payload.as_ref()),
            Err(error) => stanza.error(&error).unwrap_or_else(|| stanza.result(None)),
        }
    }

    /// What an administrator asks.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn administer(
        &self,
        account: &mut Account,
        command: AdminCommand,
        ports: &dyn Ports,
    ) -> Result<(), AdminError> {
        let domain = account.jid.domain().to_owned();
        let Some(mut context) = self.context(account, None, ports) else { return Err(AdminError::UnknownHost(domain)) };
        match command {
            AdminCommand::Create { password } => accounts::create(&mut context, &password).await?,
            AdminCommand::SetPassword { password } => accounts::set_password(&mut context, &password).await?,
            AdminCommand::Remove => accounts::remove(&mut context).await?,
            AdminCommand::CloseSessions { resource } => accounts::close(&context, resource.as_deref()).await?,
        }
        Ok(())
    }

    /// The operator's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The surroundings of an event of `account`; `None` where its domain is not served, which leaves nothing to decide.
    fn context<'a>(
        &'a self,
        account: &'a mut Account,
        session: Option<&'a Arc<Session>>,
        ports: &'a dyn Ports,
    ) -> Option<Context<'a>> {
        let Some(hooks) = self.hosts.get(account.jid.domain()) else {
            tracing::warn!(account = %account.jid, "an event for a domain that is not served is dropped");
            return None;
        };
        Some(Context {
            ports,
            account,
            host: hooks.host(),
            hooks,
            session,
            settings: &self.settings,
            logins: &self.logins,
            parting: None,
        })
    }
}

/// The engine's own handlers first, then the modules'.
fn hooks_of(host: Host, modules: Vec<Arc<dyn Module>>) -> Hooks {
    let mut hooks = Hooks::new(host);
    roster::register(&mut hooks);
    routing::register(&mut hooks);
    for module in modules {
        module.register(&mut hooks);
    }
    hooks
}

async fn registration(
    context: &mut Context<'_>,
    host: &BareJid,
    stanza: &Envelope,
) -> Result<Option<vesta_xmpp::Element>, StanzaError> {
    let request = matches!(stanza.kind, StanzaType::Iq(IqType::Get | IqType::Set));
    match context.hooks.registration_handler() {
        Some(handler) if request => {
            let request = IqRequest { stanza, from: host, scope: Scope::Server };
            handler.answer(context, &request).await
        }
        _ => Err(Condition::ServiceUnavailable.into()),
    }
}
