//! The arithmetic of SCRAM (RFC 5802 §3), as pure functions on aws-lc-rs.
//!
//! ```text
//! SaltedPassword = Hi(password, salt, i)                ClientSignature = HMAC(StoredKey, AuthMessage)
//! ClientKey      = HMAC(SaltedPassword, "Client Key")   ClientProof     = ClientKey XOR ClientSignature
//! StoredKey      = H(ClientKey)                         ServerSignature = HMAC(ServerKey, AuthMessage)
//! ServerKey      = HMAC(SaltedPassword, "Server Key")
//! ```
//!
//! The messages around it are those of [`super::server`] and [`super::client`]. [`salted_password`] is slow on purpose
//! (milliseconds): a server runs it off its async threads, and only when a password is set or comes in by PLAIN.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};

use super::Hash;
use crate::Secret;

/// What a server keeps of a password beside salt and iteration count. Neither key lets its holder log in.
#[derive(Clone, Debug)]
pub struct Keys {
    /// StoredKey: verifies the client's proof.
    pub stored_key: Secret,
    /// ServerKey: proves to the client that the server knows the password.
    pub server_key: Secret,
}

impl Keys {
    /// Derives both from a password that [`super::prepare_password`] has prepared.
    ///
    /// `salt` is the caller's, random and at least 16 bytes; `iterations` should be 10,000 or more (0 counts as 1).
    pub fn derive(hash: Hash, password: &Secret, salt: &[u8], iterations: u32) -> Self {
        Self::from_salted_password(hash, &salted_password(hash, password, salt, iterations))
    }

    /// Derives both from SaltedPassword.
    pub fn from_salted_password(hash: Hash, salted_password: &Secret) -> Self {
        let client_key = client_key(hash, salted_password);
        Self {
            stored_key: Secret::new(digest::digest(hash.digest(), client_key.expose()).as_ref()),
            server_key: Secret::new(sign(hash, salted_password.expose(), b"Server Key").as_ref()),
        }
    }

    /// Verifies ClientProof. Returns ServerSignature if it is right; takes the same time whether it is or not.
    pub fn verify_proof(&self, hash: Hash, auth_message: &[u8], proof: &Secret) -> Option<Vec<u8>> {
        let client_signature = sign(hash, self.stored_key.expose(), auth_message);
        let client_key = xor(proof.expose(), client_signature.as_ref());
        let stored_key = digest::digest(hash.digest(), client_key.expose());
        let right = self.stored_key.matches(stored_key.as_ref()) && proof.expose().len() == hash.output_len();
        let server_signature = server_signature(hash, &self.server_key, auth_message);
        right.then_some(server_signature)
    }

    /// Verifies a prepared password, as PLAIN brings it.
    pub fn verify_password(&self, hash: Hash, password: &Secret, salt: &[u8], iterations: u32) -> bool {
        let derived = Self::derive(hash, password, salt, iterations);
        self.stored_key.matches(derived.stored_key.expose())
    }
}

/// SaltedPassword: PBKDF2 with HMAC over `iterations` rounds (0 counts as 1).
pub fn salted_password(hash: Hash, password: &Secret, salt: &[u8], iterations: u32) -> Secret {
    let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    let mut salted = vec![0; hash.output_len()];
    pbkdf2::derive(hash.pbkdf2(), rounds, salt, password.expose(), &mut salted);
    Secret::new(salted)
}

/// ClientProof, by which a client shows that it knows the password.
pub fn client_proof(hash: Hash, salted_password: &Secret, auth_message: &[u8]) -> Vec<u8> {
    let client_key = client_key(hash, salted_password);
    let stored_key = digest::digest(hash.digest(), client_key.expose());
    let client_signature = sign(hash, stored_key.as_ref(), auth_message);
    xor(client_key.expose(), client_signature.as_ref()).expose().to_vec()
}

/// ServerSignature, by which a server shows that it knows the verifiers.
pub fn server_signature(hash: Hash, server_key: &Secret, auth_message: &[u8]) -> Vec<u8> {
    sign(hash, server_key.expose(), auth_message).as_ref().to_vec()
}

/// Whether the server's signature is the one expected, in constant time.
pub fn verify_server_signature(hash: Hash, salted_password: &Secret, auth_message: &[u8], signature: &[u8]) -> bool {
    let keys = Keys::from_salted_password(hash, salted_password);
    let expected = server_signature(hash, &keys.server_key, auth_message);
    constant_time::verify_slices_are_equal(&expected, signature).is_ok()
}

fn client_key(hash: Hash, salted_password: &Secret) -> Secret {
    Secret::new(sign(hash, salted_password.expose(), b"Client Key").as_ref())
}

fn sign(hash: Hash, key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hash.hmac(), key), message)
}

/// Stops at the shorter of the two; a proof of wrong length is refused by its caller.
fn xor(left: &[u8], right: &[u8]) -> Secret {
    Secret::new(left.iter().zip(right).map(|(left, right)| left ^ right).collect::<Vec<u8>>())
}

impl Hash {
    /// Bytes of the hash function's output, hence of each key and proof.
    pub fn output_len(self) -> usize {
        self.digest().output_len()
    }

    /// The hash of `bytes`.
    pub(super) fn of(self, bytes: &[u8]) -> Vec<u8> {
        digest::digest(self.digest(), bytes).as_ref().to_vec()
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            // RFC 5802 asks for SHA-1 inside HMAC only, where it has no known weakness.
            Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha512 => &digest::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Hash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    struct Vector {
        hash: Hash,
        salt: &'static str,
        auth_message: &'static str,
        proof: &'static str,
        signature: &'static str,
    }

    /// User "user", password "pencil", 4096 iterations: RFC 5802 §5 and RFC 7677 §3.
    const VECTORS: [Vector; 2] = [
        Vector {
            hash: Hash::Sha1,
            salt: "QSXCR+Q6sek8bf92",
            auth_message: "n=user,r=fyko+d2lbbFgONRv9qkxdawL,\
                           r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,\
                           c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
            proof: "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            signature: "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        },
        Vector {
            hash: Hash::Sha256,
            salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
            auth_message: "n=user,r=rOprNGfwEbeRWgbNEkqO,\
                           r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
                           c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            proof: "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            signature: "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        },
    ];

    fn bytes(text: &str) -> Vec<u8> {
        STANDARD.decode(text).expect("base64")
    }

    #[test]
    fn the_vectors_of_rfc_5802_and_7677_come_out() {
        for vector in VECTORS {
            let salted = salted_password(vector.hash, &Secret::from("pencil"), &bytes(vector.salt), 4096);
            let keys = Keys::from_salted_password(vector.hash, &salted);
            let message = vector.auth_message.as_bytes();
            let proof = client_proof(vector.hash, &salted, message);
            assert_eq!(STANDARD.encode(&proof), vector.proof);
            let signature = keys.verify_proof(vector.hash, message, &Secret::new(proof)).expect("right proof");
            assert_eq!(STANDARD.encode(&signature), vector.signature);
            assert!(verify_server_signature(vector.hash, &salted, message, &signature));
        }
    }

    #[test]
    fn a_wrong_short_or_long_proof_is_refused() {
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512] {
            let salted = salted_password(hash, &Secret::from("secret"), b"salt", 1);
            let keys = Keys::from_salted_password(hash, &salted);
            let right = client_proof(hash, &salted, b"message");
            assert!(keys.verify_proof(hash, b"message", &Secret::new(right.clone())).is_some());
            assert!(keys.verify_proof(hash, b"another", &Secret::new(right.clone())).is_none());
            assert!(keys.verify_proof(hash, b"message", &Secret::new(&right[1..])).is_none());
            assert!(keys.verify_proof(hash, b"message", &Secret::new([&right[..], b"x"].concat())).is_none());
            assert!(keys.verify_proof(hash, b"message", &Secret::default()).is_none());
        }
    }

    #[test]
    fn a_password_is_verified_against_its_keys() {
        let keys = Keys::derive(Hash::Sha512, &Secret::from("pencil"), b"salt", 10);
        assert!(keys.verify_password(Hash::Sha512, &Secret::from("pencil"), b"salt", 10));
        assert!(!keys.verify_password(Hash::Sha512, &Secret::from("pen"), b"salt", 10));
        assert!(!keys.verify_password(Hash::Sha512, &Secret::from("pencil"), b"salt", 11));
    }
}
