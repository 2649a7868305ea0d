//! The server's side of PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677).
//!
//! ```text
//! PLAIN   client: authzid NUL authcid NUL password   → Ask(Password) → Success
//! SCRAM   client: gs2-header n=user,r=nonce          → Ask(Salt)     → Challenge: r=nonces,s=salt,i=iterations,h=offer
//!         client: c=binding,r=nonces,p=proof         → Ask(Proof)    → Success: v=signature
//! ```
//!
//! `h=` is XEP-0474: the hash of the lists of mechanisms and channel bindings that were offered. The proof covers it, so a client
//! learns whether somebody has edited the lists on their way (T13).
//!
//! Nothing here depends on whether an account exists: whoever answers the questions has to answer for unknown accounts like
//! for known ones (T14), and then the steps are the same, byte for byte but for salt and proof.

use super::message::{BindingFlag, are_extensions, is_nonce, offered_text, take_attribute, unescape_name};
use super::{Answer, ChannelBindings, Hash, Mechanism, Question, SaslCondition, SaslFailure};
use super::{decode_base64, encode_base64, prepare_password};
use crate::{BareJid, Jid, JidError, Secret};

/// What an exchange has to know of its stream.
#[derive(Clone, Debug)]
pub struct Context {
    /// The virtual host: accounts are `localpart@host`.
    pub host: BareJid,
    /// What the channel can be bound by.
    pub bindings: ChannelBindings,
    /// The mechanisms offered. A client that says it saw no `-PLUS` where there was one has been deceived (T13).
    pub offered: Vec<Mechanism>,
    /// The server's part of the nonce: printable ASCII without comma, at least 18 unpredictable characters.
    pub nonce: String,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Send this challenge, then [`Exchange::respond`].
    Challenge(Vec<u8>),
    /// Have this answered, then [`Exchange::answer`].
    Ask(Question),
    /// The client is `account`.
    Success {
        /// Who has authenticated.
        account: BareJid,
        /// Additional data with success (RFC 6120 §6.4.6): the server's signature; empty for PLAIN.
        data: Vec<u8>,
    },
    /// The exchange is over; the client may start another.
    Failure(SaslFailure),
}

/// One authentication, from `<auth/>` to success or failure.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    context: Context,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waits for the client's first message.
    First,
    /// PLAIN: waits for the answer about the password.
    Password { account: BareJid },
    /// SCRAM: waits for the salt.
    Salt(ClientFirst),
    /// SCRAM: waits for the client's final message.
    Final(Box<Challenged>),
    /// SCRAM: waits for the answer about the proof.
    Proof { account: BareJid },
    /// Success or failure has been told.
    Over,
}

/// What the client's first message said.
#[derive(Debug)]
struct ClientFirst {
    account: BareJid,
    /// `gs2-header` and the channel binding's data: what `c=` has to repeat.
    binding: Vec<u8>,
    /// `client-first-message-bare`.
    bare: String,
    /// The client's part of the nonce.
    nonce: String,
}

#[derive(Debug)]
struct Challenged {
    first: ClientFirst,
    /// Both parts.
    nonce: String,
    /// `server-first-message`.
    challenge: String,
}

impl Exchange {
    /// An exchange by a mechanism that was offered.
    pub fn new(mechanism: Mechanism, context: Context) -> Self {
        Self { mechanism, context, state: State::First }
    }

    /// Takes a message of the client, decoded. `None`: `<auth/>` without initial response, which is answered with an empty
    /// challenge since both mechanisms have the client speak first (RFC 4422 §5).
    pub fn respond(&mut self, message: Option<&[u8]>) -> Step {
        let state = std::mem::replace(&mut self.state, State::Over);
        let outcome = match (state, message) {
            (State::First, None) => {
                self.state = State::First;
                Ok(Step::Challenge(Vec::new()))
            }
            (State::First, Some(message)) => match self.mechanism {
                Mechanism::Plain => self.plain(message),
                Mechanism::Scram { hash, plus } => self.scram_first(hash, plus, message),
            },
            (State::Final(challenged), Some(message)) => self.scram_final(*challenged, message),
            _ => Err(SaslCondition::MalformedRequest.into()),
        };
        outcome.unwrap_or_else(Step::Failure)
    }

    /// Takes the answer to [`Step::Ask`].
    pub fn answer(&mut self, answer: Answer) -> Step {
        match (std::mem::replace(&mut self.state, State::Over), answer) {
            (_, Answer::Denied(condition)) => Step::Failure(condition.into()),
            (State::Password { account }, Answer::Accepted { .. }) => Step::Success { account, data: Vec::new() },
            (State::Salt(first), Answer::Salt { salt, iterations }) => {
                let nonce = format!("{}{}", first.nonce, self.context.nonce);
                let challenge = format!("r={nonce},s={},i={iterations},h={}", encode_base64(&salt), self.offer_hash());
                let step = Step::Challenge(challenge.clone().into_bytes());
                self.state = State::Final(Box::new(Challenged { first, nonce, challenge }));
                step
            }
            (State::Proof { account }, Answer::Accepted { server_signature }) => {
                Step::Success { account, data: format!("v={}", encode_base64(&server_signature)).into_bytes() }
            }
            // An answer to another question: our own fault.
            _ => Step::Failure(SaslCondition::TemporaryAuthFailure.into()),
        }
    }

    fn plain(&mut self, message: &[u8]) -> Result<Step, SaslFailure> {
        let message = std::str::from_utf8(message).map_err(|_| malformed("the message is not UTF-8"))?;
        let mut fields = message.split('\0');
        let (Some(authzid), Some(authcid), Some(password), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(malformed("the message does not have three fields"));
        };
        let account = self.account(authcid, Some(authzid).filter(|authzid| !authzid.is_empty()))?;
        let password = prepare_password(&Secret::from(password)).ok_or(SaslCondition::NotAuthorized)?;
        self.state = State::Password { account: account.clone() };
        Ok(Step::Ask(Question::Password { account, password }))
    }

    fn scram_first(&mut self, hash: Hash, plus: bool, message: &[u8]) -> Result<Step, SaslFailure> {
        let message = std::str::from_utf8(message).map_err(|_| malformed("the message is not UTF-8"))?;
        let mut fields = message.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(malformed("the GS2 header is not complete"));
        };
        let authzid = match authzid {
            "" => None,
            field => Some(field.strip_prefix("a=").and_then(unescape_name).ok_or(malformed("a= is malformed"))?),
        };
        let header = &message[..message.len() - bare.len()];
        let binding = [header.as_bytes(), self.binding_data(flag, plus)?].concat();

        if bare.starts_with("m=") {
            return Err(malformed("a mandatory extension is not supported"));
        }
        let mut rest = bare;
        let name = take_attribute(&mut rest, 'n').and_then(unescape_name).ok_or(malformed("n= is malformed"))?;
        let nonce =
            take_attribute(&mut rest, 'r').filter(|nonce| is_nonce(nonce)).ok_or(malformed("r= is malformed"))?;
        if !are_extensions(rest) {
            return Err(malformed("an extension is malformed"));
        }
        let account = self.account(&name, authzid.as_deref())?;
        let question = Question::Salt { account: account.clone(), hash };
        self.state = State::Salt(ClientFirst { account, binding, bare: bare.into(), nonce: nonce.into() });
        Ok(Step::Ask(question))
    }

    fn scram_final(&mut self, challenged: Challenged, message: &[u8]) -> Result<Step, SaslFailure> {
        let Mechanism::Scram { hash, .. } = self.mechanism else { return Err(SaslCondition::MalformedRequest.into()) };
        let message = std::str::from_utf8(message).map_err(|_| malformed("the message is not UTF-8"))?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(malformed("p= is missing"))?;
        let mut rest = without_proof;
        let binding = take_attribute(&mut rest, 'c').ok_or(malformed("c= is missing"))?;
        let nonce = take_attribute(&mut rest, 'r').ok_or(malformed("r= is missing"))?;
        if !are_extensions(rest) {
            return Err(malformed("an extension is malformed"));
        }
        // A single `=` is no data in a SASL element, but here it is no base64.
        let decode =
            |text: &str| decode_base64(text).ok().filter(|data| !data.is_empty()).ok_or(malformed("not base64"));
        let proof = decode(proof)?;
        // Whoever passes messages on between two TLS connections is found out here (RFC 5802 §6).
        if decode(binding)? != challenged.first.binding || nonce != challenged.nonce {
            return Err(SaslCondition::NotAuthorized.into());
        }
        if proof.len() != hash.output_len() {
            return Err(malformed("the proof has a wrong length"));
        }
        let auth_message = format!("{},{},{without_proof}", challenged.first.bare, challenged.challenge).into_bytes();
        let account = challenged.first.account;
        self.state = State::Proof { account: account.clone() };
        Ok(Step::Ask(Question::Proof { account, hash, auth_message, proof: Secret::new(proof) }))
    }

    /// XEP-0474: what has been offered on this stream, for the client to compare.
    fn offer_hash(&self) -> String {
        let Mechanism::Scram { hash, .. } = self.mechanism else { return String::new() };
        let mechanisms = self.context.offered.iter().map(|it| it.name());
        let binding_types = self.context.bindings.types().map(|it| it.name());
        encode_base64(&hash.of(offered_text(mechanisms, binding_types).as_bytes()))
    }

    /// The data that the channel is bound by, by what the client says in its flag (RFC 5802 §6).
    fn binding_data(&self, flag: &str, plus: bool) -> Result<&[u8], SaslFailure> {
        match (BindingFlag::parse(flag).ok_or(malformed("the channel binding's type is not known"))?, plus) {
            (BindingFlag::Bound(kind), true) => {
                self.context.bindings.data(kind).ok_or(malformed("the channel binding's type is not offered"))
            }
            (BindingFlag::NotOffered, false) if self.context.offered.iter().any(|it| it.is_plus()) => {
                Err(SaslFailure {
                    condition: SaslCondition::NotAuthorized,
                    text: Some("channel binding is offered, but the offer did not reach the client".into()),
                })
            }
            (BindingFlag::NotOffered | BindingFlag::Unsupported, false) => Ok(&[]),
            _ => Err(malformed("mechanism and channel binding do not fit together")),
        }
    }

    /// The account of a user name, if the client may act as `authzid`: only as itself (T12, RFC 6120 §6.3.8).
    fn account(&self, authcid: &str, authzid: Option<&str>) -> Result<BareJid, SaslFailure> {
        let domain = self.context.host.domain();
        let account = with_local(authcid, domain).map_err(|_| SaslCondition::NotAuthorized)?;
        let own = match authzid {
            None => true,
            Some(authzid) if authzid.contains('@') => BareJid::parse(authzid).is_ok_and(|jid| jid == account),
            Some(authzid) => with_local(authzid, domain).is_ok_and(|jid| jid == account),
        };
        if own { Ok(account) } else { Err(SaslCondition::InvalidAuthzid.into()) }
    }
}

fn with_local(local: &str, domain: &str) -> Result<BareJid, JidError> {
    Jid::from_parts(Some(local), domain, None).map(|jid| jid.to_bare())
}

fn malformed(text: &str) -> SaslFailure {
    SaslFailure { condition: SaslCondition::MalformedRequest, text: Some(text.into()) }
}
