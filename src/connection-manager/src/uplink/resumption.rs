//! The ids by which clients resume their sessions (XEP-0198 §3).
//!
//! An id is the session's number and a secret of 128 random bits (T16). The routers are told no more than the secret's digest, so
//! that neither their log nor their state is of use to whoever reads it; the account is the one that has authenticated.

use aws_lc_rs::digest::{self, SHA256};
use vesta_wire::SessionId;
use vesta_wire::attach::Digest;

use crate::random;

/// A new id for a session, and the digest of its secret.
pub(crate) fn issue(session: SessionId) -> (String, Digest) {
    let secret = format!("{:032x}", u128::from_be_bytes(random::bytes()));
    let digest = digest_of(&secret);
    (format!("{:x}-{secret}", session.number), digest)
}

/// The session's number and the digest of the secret; `None`: no id of ours.
pub(super) fn read(id: &str) -> Option<(u64, Digest)> {
    let (number, secret) = id.split_once('-')?;
    Some((u64::from_str_radix(number, 16).ok()?, digest_of(secret)))
}

fn digest_of(secret: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&SHA256, secret.as_bytes()).as_ref());
    Digest(bytes)
}

#[cfg(test)]
mod tests {
    use vesta_wire::ShardId;

    use super::*;

    #[test]
    fn an_id_names_its_session_and_proves_what_was_issued() {
        let session = SessionId { shard: ShardId(3), number: 0xBEEF };
        let (id, digest) = issue(session);
        assert_eq!(read(&id), Some((0xBEEF, digest)));
        let (other, _) = issue(session);
        assert_ne!(read(&other), Some((0xBEEF, digest)));
    }

    #[test]
    fn what_is_no_id_names_nothing() {
        for id in ["", "-", "x-1", "12", "+-", "ffffffffffffffffff-0"] {
            assert_eq!(read(id), None, "{id}");
        }
    }
}
