//! SASL's questions (RFC 4616, RFC 5802), answered from the verifiers.
//!
//! An account that does not exist has a decoy: verifiers that come out of a secret of the deployment, the same at each try, and that
//! no password fits. All that follows is the same work for both, and so is the answer (T14).

use vesta_xmpp::sasl::scram::Keys;
use vesta_xmpp::sasl::{Answer, Hash, Question, SaslCondition};
use vesta_xmpp::{BareJid, Secret};

use crate::accounts::{SALT_BYTES, hmac, run_blocking};
use crate::logins::Found;
use crate::store::{StoreError, Verifier};
use crate::{Engine, Ports};

/// The verifier that a PLAIN password is compared with.
const PLAIN_HASH: Hash = Hash::Sha256;

pub(crate) async fn answer(engine: &Engine, question: Question, ports: &dyn Ports) -> Answer {
    match try_answer(engine, question, ports).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(%error, "a login can't be decided");
            Answer::Denied(SaslCondition::TemporaryAuthFailure)
        }
    }
}

async fn try_answer(engine: &Engine, question: Question, ports: &dyn Ports) -> Result<Answer, StoreError> {
    Ok(match question {
        Question::Salt { account, hash } => {
            let moment = engine.logins.moment();
            let found = find(engine, &account, hash, ports).await?;
            let Verifier { salt, iterations, .. } = found.verifier.clone();
            engine.logins.keep(moment, ports.fence(), &account, hash, found);
            Answer::Salt { salt, iterations }
        }
        Question::Proof { account, hash, auth_message, proof } => {
            let Found { verifier, genuine } = match engine.logins.take(ports.fence(), &account, hash) {
                Some(found) => found,
                None => find(engine, &account, hash, ports).await?,
            };
            let keys = Keys { stored_key: verifier.stored_key, server_key: verifier.server_key };
            verdict(keys.verify_proof(hash, &auth_message, &proof).filter(|_| genuine))
        }
        Question::Password { account, password } => {
            let Found { verifier, genuine } = find(engine, &account, PLAIN_HASH, ports).await?;
            let verify = move || {
                let Verifier { salt, iterations, stored_key, server_key } = verifier;
                Keys { stored_key, server_key }.verify_password(PLAIN_HASH, &password, &salt, iterations)
            };
            match run_blocking(ports, verify).await {
                Ok(right) => verdict((right && genuine).then(Vec::new)),
                Err(_) => Answer::Denied(SaslCondition::TemporaryAuthFailure),
            }
        }
    })
}

fn verdict(server_signature: Option<Vec<u8>>) -> Answer {
    match server_signature {
        Some(server_signature) => Answer::Accepted { server_signature },
        None => Answer::Denied(SaslCondition::NotAuthorized),
    }
}

async fn find(engine: &Engine, account: &BareJid, hash: Hash, ports: &dyn Ports) -> Result<Found, StoreError> {
    // Made for every account, so that it takes its time for every account.
    let decoy = decoy(&secret(engine, ports).await?, account, hash, engine.settings().scram_iterations);
    let credentials = ports.store().credentials(account).await?;
    let served = engine.hooks(account.domain()).is_some();
    let verifier = credentials.filter(|_| served).and_then(|mut it| it.verifiers.remove(&hash));
    Ok(match verifier {
        Some(verifier) => Found { verifier, genuine: true },
        None => Found { verifier: decoy, genuine: false },
    })
}

fn decoy(secret: &Secret, account: &BareJid, hash: Hash, iterations: u32) -> Verifier {
    let part = |name: &str| hmac(secret, format!("{name} {hash:?} {account}").as_bytes());
    let mut salt = part("salt");
    salt.truncate(SALT_BYTES);
    let key = Secret::new(part("key").into_iter().cycle().take(hash.output_len()).collect::<Vec<_>>());
    Verifier { salt, iterations, stored_key: key.clone(), server_key: key }
}

async fn secret(engine: &Engine, ports: &dyn Ports) -> Result<Secret, StoreError> {
    if let Some(secret) = engine.decoy_secret.get() {
        return Ok(secret.clone());
    }
    let mut fresh = [0; 32];
    let random = format!("{}{}", ports.random_id(), ports.random_id());
    fresh.copy_from_slice(&hmac(&Secret::from(random.as_str()), b"decoy"));
    let secret = ports.store().deployment_secret("scram-decoy", fresh).await?;
    Ok(engine.decoy_secret.get_or_init(|| secret).clone())
}

#[cfg(test)]
mod tests {
    use vesta_xmpp::sasl::scram;

    use super::*;
    use crate::engine::AdminCommand;
    use crate::testing::World;

    const HASHES: [Hash; 3] = [Hash::Sha1, Hash::Sha256, Hash::Sha512];

    fn world() -> World {
        let world = World::new(Vec::new());
        let create = AdminCommand::Create { password: Secret::from("pencil") };
        world.administer("juliet@example.com", create).expect("made");
        world
    }

    fn jid(text: &str) -> BareJid {
        BareJid::parse(text).expect("a JID")
    }

    fn salt(world: &World, account: &str, hash: Hash) -> (Vec<u8>, u32) {
        match world.authenticate(Question::Salt { account: jid(account), hash }) {
            Answer::Salt { salt, iterations } => (salt, iterations),
            other => panic!("no salt: {other:?}"),
        }
    }

    fn log_in_by_scram(world: &World, account: &str, password: &str, hash: Hash) -> Answer {
        let (salt, iterations) = salt(world, account, hash);
        let salted = scram::salted_password(hash, &Secret::from(password), &salt, iterations);
        let auth_message = b"n=,r=a,r=ab,s=c,i=1,c=biws,r=ab".to_vec();
        let proof = Secret::new(scram::client_proof(hash, &salted, &auth_message));
        world.authenticate(Question::Proof { account: jid(account), hash, auth_message, proof })
    }

    fn log_in_by_plain(world: &World, account: &str, password: &str) -> Answer {
        world.authenticate(Question::Password { account: jid(account), password: Secret::from(password) })
    }

    fn is_denied(answer: &Answer) -> bool {
        matches!(answer, Answer::Denied(SaslCondition::NotAuthorized))
    }

    #[test]
    fn the_right_password_is_accepted_by_every_mechanism_and_another_is_not() {
        let world = world();
        let account = "juliet@example.com";
        for hash in HASHES {
            let right = log_in_by_scram(&world, account, "pencil", hash);
            assert!(
                matches!(right, Answer::Accepted { server_signature } if server_signature.len() == hash.output_len())
            );
            assert!(is_denied(&log_in_by_scram(&world, account, "pencils", hash)), "{hash:?}");
        }
        assert!(matches!(log_in_by_plain(&world, account, "pencil"), Answer::Accepted { .. }));
        assert!(is_denied(&log_in_by_plain(&world, account, "pencils")));
    }

    /// T14: the same shapes, the same at each try, the same conditions, the same work.
    #[test]
    fn an_unknown_account_is_answered_like_a_known_one() {
        let world = world();
        let known = "juliet@example.com";
        world.authenticate(Question::Salt { account: jid(known), hash: Hash::Sha1 });
        let mut salts = Vec::new();
        for unknown in ["nobody@example.com", "nobody@example.net", "juliet@nowhere.example"] {
            for hash in HASHES {
                let (decoy, iterations) = salt(&world, unknown, hash);
                assert_eq!((decoy.clone(), iterations), salt(&world, unknown, hash), "the same at each try");
                let (genuine, genuine_iterations) = salt(&world, known, hash);
                assert_eq!((decoy.len(), iterations), (genuine.len(), genuine_iterations));
                salts.push(decoy);
                assert!(is_denied(&log_in_by_scram(&world, unknown, "pencil", hash)));
            }
            assert_eq!(work(&world, known), work(&world, unknown));
        }
        salts.sort();
        salts.dedup();
        assert_eq!(salts.len(), 9, "each account and hash function has a salt of its own");
    }

    /// What a failed login by PLAIN costs: derivations, and questions to the store.
    fn work(world: &World, account: &str) -> (u64, Vec<&'static str>) {
        let before = world.derivations();
        world.store().take_asked();
        assert!(is_denied(&log_in_by_plain(world, account, "wrong")));
        (world.derivations() - before, world.store().take_asked())
    }

    #[test]
    fn a_login_by_scram_reads_the_store_once_and_a_new_password_counts_at_once() {
        let world = world();
        let juliet = "juliet@example.com";
        log_in_by_scram(&world, juliet, "pencil", Hash::Sha1);
        world.store().take_asked();
        assert!(!is_denied(&log_in_by_scram(&world, juliet, "pencil", Hash::Sha1)));
        assert_eq!(world.store().take_asked(), ["credentials"]);

        let (salt, iterations) = salt(&world, juliet, Hash::Sha1);
        let password = AdminCommand::SetPassword { password: Secret::from("crayon") };
        world.administer(juliet, password).expect("changed");
        let salted = scram::salted_password(Hash::Sha1, &Secret::from("pencil"), &salt, iterations);
        let auth_message = b"n=,r=a,r=ab,s=c,i=1,c=biws,r=ab".to_vec();
        let proof = Secret::new(scram::client_proof(Hash::Sha1, &salted, &auth_message));
        let old = Question::Proof { account: jid(juliet), hash: Hash::Sha1, auth_message, proof };
        assert!(is_denied(&world.authenticate(old)));
    }

    #[test]
    fn while_the_store_is_away_a_login_fails_for_now_only() {
        let world = world();
        world.store().set_away(true);
        let answer = log_in_by_plain(&world, "juliet@example.com", "pencil");
        assert!(matches!(answer, Answer::Denied(SaslCondition::TemporaryAuthFailure)));
    }
}
