//! Namespaces, each with the specification that defines it. Nothing else in the workspace spells one out.

/// RFC 6120 §4.8.3: stanzas between client and server.
pub const CLIENT: &str = "jabber:client";
/// RFC 6120 §4.8.3: stanzas between servers.
pub const SERVER: &str = "jabber:server";
/// RFC 6120 §4.8.1: the stream itself.
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// RFC 6120 §4.9: conditions of stream errors.
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// RFC 6120 §8.3: conditions of stanza errors.
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// RFC 6120 §5: STARTTLS.
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// RFC 6120 §6: SASL.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// RFC 6120 §7: resource binding.
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// RFC 3921 §3: session establishment, kept as a no-op for old clients (RFC 6121 appendix E).
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// RFC 6121 §2: rosters.
pub const ROSTER: &str = "jabber:iq:roster";
/// RFC 6121 §2.6: the stream feature of roster versioning.
pub const ROSTER_VERSIONING: &str = "urn:xmpp:features:rosterver";
/// RFC 6121 §3.4: the stream feature of subscription pre-approval.
pub const PRE_APPROVAL: &str = "urn:xmpp:features:pre-approval";
/// XML 1.0, bound to the prefix `xml`.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Namespaces in XML 1.0, bound to the prefix `xmlns`.
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
/// XEP-0004: data forms.
pub const DATA_FORMS: &str = "jabber:x:data";
/// XEP-0012: last activity.
pub const LAST_ACTIVITY: &str = "jabber:iq:last";
/// XEP-0030: service discovery, information.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030: service discovery, items.
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0045: what rooms say to users.
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0049: private XML storage.
pub const PRIVATE: &str = "jabber:iq:private";
/// XEP-0054: vcard-temp.
pub const VCARD: &str = "vcard-temp";
/// XEP-0059: result set management.
pub const RSM: &str = "http://jabber.org/protocol/rsm";
/// XEP-0077: in-band registration.
pub const REGISTER: &str = "jabber:iq:register";
/// XEP-0077: its stream feature.
pub const REGISTER_FEATURE: &str = "http://jabber.org/features/iq-register";
/// XEP-0085: chat state notifications.
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// XEP-0092: software version.
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0115: entity capabilities.
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// XEP-0122: what values a form's field takes.
pub const DATA_VALIDATION: &str = "http://jabber.org/protocol/xdata-validate";
/// XEP-0157: contact addresses.
pub const SERVER_INFO_FORM: &str = "http://jabber.org/network/serverinfo";
/// XEP-0160: the feature of offline storage.
pub const OFFLINE: &str = "msgoffline";
/// XEP-0184: delivery receipts.
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// XEP-0198: stream management.
pub const STREAM_MANAGEMENT: &str = "urn:xmpp:sm:3";
/// XEP-0352 client state indication.
pub const CLIENT_STATE: &str = "urn:xmpp:csi:0";
/// XEP-0199: ping.
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0202: entity time.
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0203: delayed delivery.
pub const DELAY: &str = "urn:xmpp:delay";
/// XEP-0249: direct invitations to rooms.
pub const DIRECT_INVITATION: &str = "jabber:x:conference";
/// XEP-0280: message carbons.
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// XEP-0280 §6.1: the feature of its recommended rules.
pub const CARBONS_RULES: &str = "urn:xmpp:carbons:rules:0";
/// XEP-0297: forwarded stanzas.
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// XEP-0308: corrections of messages.
pub const CORRECTION: &str = "urn:xmpp:message-correct:0";
/// XEP-0313: message archive.
pub const ARCHIVE: &str = "urn:xmpp:mam:2";
/// XEP-0313 §4.1.4: the feature of its additional fields, flipped pages and metadata.
pub const ARCHIVE_EXTENDED: &str = "urn:xmpp:mam:2#extended";
/// XEP-0333: chat markers.
pub const MARKERS: &str = "urn:xmpp:chat-markers:0";
/// XEP-0334: message processing hints.
pub const HINTS: &str = "urn:xmpp:hints";
/// XEP-0359: unique stanza ids.
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// XEP-0373: messages encrypted with OpenPGP.
pub const OPENPGP: &str = "urn:xmpp:openpgp:0";
/// XEP-0380: how a message is encrypted.
pub const ENCRYPTION: &str = "urn:xmpp:eme:0";
/// XEP-0384: messages encrypted with OMEMO, as most clients write them.
pub const OMEMO_LEGACY: &str = "eu.siacs.conversations.axolotl";
/// XEP-0384: messages encrypted with OMEMO.
pub const OMEMO: &str = "urn:xmpp:omemo:2";
/// XEP-0421: occupant ids.
pub const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// XEP-0424: retractions of messages.
pub const RETRACTION: &str = "urn:xmpp:message-retract:1";
/// XEP-0440: channel-binding types offered.
pub const SASL_CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// XEP-0444: reactions to messages.
pub const REACTIONS: &str = "urn:xmpp:reactions:0";
/// XEP-0478: limits of a stream.
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
