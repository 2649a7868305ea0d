//! Specifications that are fulfilled outside of modules, by the tiers below: they stand in the table of supported XEPs too.

use vesta_engine::module::{Spec, Status};

/// In the order of their numbers.
pub const ELSEWHERE: &[Spec] = &[
    Spec {
        number: 4,
        title: "Data Forms",
        version: "2.13.1",
        status: Status::Complete,
        since: "0.1.0",
        note: "read and written by modules and by the client library",
    },
    Spec {
        number: 198,
        title: "Stream Management",
        version: "1.6.3",
        status: Status::Complete,
        since: "0.1.0",
        note: "a stanza is counted when all that it brought forth is done, durable where it has to be; resumption at any connection manager",
    },
    Spec {
        number: 352,
        title: "Client State Indication",
        version: "1.0.0",
        status: Status::Complete,
        since: "0.1.0",
        note: "presence and chat states wait, the last of each sender",
    },
    Spec {
        number: 368,
        title: "SRV records for XMPP over TLS",
        version: "1.1.0",
        status: Status::Complete,
        since: "0.1.0",
        note: "direct TLS, with ALPN",
    },
    Spec {
        number: 440,
        title: "SASL Channel-Binding Type Capability",
        version: "0.4.1",
        status: Status::Complete,
        since: "0.1.0",
        note: "",
    },
    Spec {
        number: 474,
        title: "SASL SCRAM Downgrade Protection",
        version: "0.5.0",
        status: Status::Complete,
        since: "0.1.0",
        note: "",
    },
    Spec {
        number: 478,
        title: "Stream Limits Advertisement",
        version: "0.2.0",
        status: Status::Complete,
        since: "0.1.0",
        note: "",
    },
];
