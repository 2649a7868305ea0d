//! The other side of a conversation as the index has it.

use vesta_xmpp::Jid;

/// A hash of the bare JID, FNV-1a of 32 bits: it is stored, so it must be the same for ever. It narrows down; what is asked for is
/// compared with the JID itself.
pub(crate) fn hash(peer: &Jid) -> i64 {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in peer.bare_str().bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    // As the column has it: an integer of 32 bits with a sign.
    hash.cast_signed().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_same_for_ever_and_for_all_resources() {
        let of = |jid: &str| hash(&Jid::parse(jid).expect("a JID"));
        assert_eq!(of("foobar"), i64::from(0xbf9c_f968_u32.cast_signed()), "a published value of FNV-1a");
        assert_eq!(of("juliet@capulet.example"), of("juliet@capulet.example/balcony"));
        assert_ne!(of("juliet@capulet.example"), of("romeo@montague.example"));
    }
}
