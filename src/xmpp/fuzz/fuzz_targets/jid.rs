//! RFC 7622: no text breaks the preparation of a JID, and what is prepared is prepared for good (threat T27).

#![no_main]

use libfuzzer_sys::fuzz_target;
use vesta_xmpp::Jid;
use vesta_xmpp::jid::{PART_BYTES_MAX, prepare_domain, prepare_local, prepare_resource};

fuzz_target!(|text: &str| {
    for prepare in [prepare_local, prepare_domain, prepare_resource] {
        let Ok(prepared) = prepare(text) else { continue };
        assert!((1..=PART_BYTES_MAX).contains(&prepared.len()));
        assert_eq!(prepare(&prepared).as_deref(), Ok(&*prepared));
    }
    let Ok(jid) = Jid::parse(text) else { return };
    assert_eq!(Jid::parse(jid.as_str()).as_ref(), Ok(&jid));
    assert_eq!(Jid::from_parts(jid.local(), jid.domain(), jid.resource()).as_ref(), Ok(&jid));
    assert_eq!(jid.to_bare().as_str(), jid.bare_str());
});
