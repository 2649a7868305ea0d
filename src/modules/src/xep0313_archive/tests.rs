//! Transcripts of archives. The ids in them are those of the logs: the time in milliseconds, shifted, as hexadecimal digits.

use vesta_engine::engine::AdminCommand;
use vesta_engine::roster::RosterItem;
use vesta_engine::testing::{Actor, World};
use vesta_xmpp::{BareJid, Envelope};

use super::*;
use crate::transcript::iq_error;
use crate::xep0160_offline::{self, OfflineMessages};

const ROMEO: &str = "romeo@example.net/orchard";
const JULIET: &str = "juliet@example.com/balcony";

fn world(config: Config) -> World {
    let offline = OfflineMessages::new(&xep0160_offline::Config::default());
    World::new(vec![Arc::new(Archive::new(&config)), Arc::new(offline)])
}

/// The id of the only entry of its millisecond.
fn id(milliseconds: u64) -> String {
    format!("{:x}", milliseconds << 20)
}

fn says(actor: &Actor<'_>, to: &str, body: &str) {
    actor.sends(&format!("<message type='chat' to='{to}'><body>{body}</body></message>"));
}

fn stanza_id(by: &str, id: &str) -> String {
    format!("<stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='{id}'/>")
}

/// Romeo says five things to Juliet, at 1, 2, 3, 4 and 5 seconds, and both have read them.
fn five_messages(world: &World) -> (Actor<'_>, Actor<'_>) {
    let (romeo, juliet) = (world.online(ROMEO), world.online(JULIET));
    for number in 1..=5 {
        world.advance(1_000);
        says(&romeo, "juliet@example.com", &number.to_string());
    }
    world.forget_received();
    (romeo, juliet)
}

fn query(content: &str) -> String {
    format!("<query xmlns='urn:xmpp:mam:2' queryid='f27'>{content}</query>")
}

fn set(content: &str) -> String {
    format!("<set xmlns='http://jabber.org/protocol/rsm'>{content}</set>")
}

fn form(fields: &[(&str, &str)]) -> String {
    let field = |(name, value): &(&str, &str)| {
        let values: String = value.split(' ').map(|value| format!("<value>{value}</value>")).collect();
        format!("<field var='{name}'>{values}</field>")
    };
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>{}\
         </x>",
        fields.iter().map(field).collect::<String>()
    )
}

fn asks(actor: &Actor<'_>, content: &str) {
    actor.sends(&format!("<iq type='set' id='q'>{}</iq>", query(content)));
}

/// The message that Romeo sent at this second comes as a result.
fn result(actor: &Actor<'_>, second: u64) {
    let id = id(second * 1_000);
    actor.receives(&format!(
        "<message from='juliet@example.com' to='{JULIET}'><result xmlns='urn:xmpp:mam:2' queryid='f27' id='{id}'>\
         <forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:00:0{second}Z'/>\
         <message xmlns='jabber:client' type='chat' from='{ROMEO}' to='juliet@example.com'><body>{second}</body>{}</message>\
         </forwarded></result></message>",
        stanza_id("juliet@example.com", &id)
    ));
}

/// The answer behind the results.
fn fin(actor: &Actor<'_>, complete: bool, page: &[u64]) {
    let complete = if complete { " complete='true'" } else { "" };
    let ends = match (page.first(), page.last()) {
        (Some(first), Some(last)) => {
            format!("<first>{}</first><last>{}</last>", id(first * 1_000), id(last * 1_000))
        }
        _ => String::new(),
    };
    actor
        .receives(&format!("<iq type='result' id='q'><fin xmlns='urn:xmpp:mam:2'{complete}>{}</fin></iq>", set(&ends)));
}

fn page(actor: &Actor<'_>, content: &str, complete: bool, seconds: &[u64]) {
    asks(actor, content);
    seconds.iter().for_each(|second| result(actor, *second));
    fin(actor, complete, seconds);
    actor.receives_nothing();
}

fn is_refused(actor: &Actor<'_>, content: &str, kind: &str, condition: &str) {
    asks(actor, content);
    actor.receives(&iq_error("id='q'", &query(content), kind, condition));
}

/// XEP-0313 §3.2, XEP-0359: the recipient's copy bears its id in the recipient's archive, and nobody else's.
#[test]
fn a_message_bears_its_id_in_the_archive_of_whoever_gets_it() {
    let world = world(Config::default());
    let (romeo, juliet) = (world.online(ROMEO), world.online(JULIET));
    world.advance(1_000);
    romeo.sends(
        "<message type='chat' to='juliet@example.com'><body>Hi</body><origin-id xmlns='urn:xmpp:sid:0' id='o1'/></message>",
    );
    juliet.receives(&format!(
        "<message type='chat' from='{ROMEO}'><body>Hi</body><origin-id xmlns='urn:xmpp:sid:0' id='o1'/>{}</message>",
        stanza_id("juliet@example.com", &id(1_000))
    ));
    romeo.sends("<message type='chat' to='juliet@example.com'><active xmlns='http://jabber.org/protocol/chatstates'/></message>");
    juliet.receives(&format!(
        "<message type='chat' from='{ROMEO}'><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
    ));
    world.nobody_receives_anything();
}

/// With the archive on, the hot path asks the store for the two entries and nothing else.
#[test]
fn a_message_between_users_who_are_online_asks_the_store_for_two_entries() {
    let world = world(Config::default());
    let (romeo, _juliet) = five_messages(&world);
    world.store().take_asked();
    says(&romeo, "juliet@example.com", "Hi");
    assert_eq!(world.store().take_asked(), ["submit", "submit"]);
}

/// §4.3: pages forwards and backwards, whole and in parts, each in the order of time.
#[test]
fn an_archive_is_read_page_by_page_in_both_directions() {
    let world = world(Config::default());
    let (_, juliet) = five_messages(&world);
    page(&juliet, "", true, &[1, 2, 3, 4, 5]);
    page(&juliet, &set("<max>2</max>"), false, &[1, 2]);
    page(&juliet, &set(&format!("<max>2</max><after>{}</after>", id(2_000))), false, &[3, 4]);
    page(&juliet, &set(&format!("<max>2</max><after>{}</after>", id(4_000))), true, &[5]);
    page(&juliet, &set(&format!("<max>2</max><after>{}</after>", id(5_000))), true, &[]);
    page(&juliet, &set("<max>2</max><before/>"), false, &[4, 5]);
    page(&juliet, &set(&format!("<max>2</max><before>{}</before>", id(4_000))), false, &[2, 3]);
    page(&juliet, &set(&format!("<max>2</max><before>{}</before>", id(2_000))), true, &[1]);
    page(&juliet, &set("<max>5</max><before/>"), true, &[1, 2, 3, 4, 5]);
}

/// §4.1: by time, by ids and by correspondent; all conditions hold together.
#[test]
fn a_query_narrows_what_it_finds() {
    let world = world(Config::default());
    let (_, juliet) = five_messages(&world);
    let second = |second: u64| format!("1970-01-01T00:00:0{second}Z");
    page(&juliet, &form(&[("start", &second(2)), ("end", &second(4))]), true, &[2, 3, 4]);
    page(&juliet, &form(&[("start", "1969-12-31T23:59:59Z"), ("end", &second(1))]), true, &[1]);
    page(&juliet, &form(&[("start", "9999-12-31T23:59:59Z")]), true, &[]);
    page(&juliet, &form(&[("end", "1969-12-31T23:59:59Z")]), true, &[]);
    page(&juliet, &form(&[("after-id", &id(2_000)), ("before-id", &id(5_000))]), true, &[3, 4]);
    page(&juliet, &form(&[("ids", &format!("{} {}", id(4_000), id(1_000)))]), true, &[1, 4]);
    page(&juliet, &form(&[("with", "romeo@example.net")]), true, &[1, 2, 3, 4, 5]);
    page(&juliet, &form(&[("with", "romeo@example.net/field")]), true, &[]);
    page(&juliet, &form(&[("with", "juliet@example.com")]), true, &[]);
    let both = form(&[("with", ROMEO), ("after-id", &id(1_000))]) + &set("<max>1</max><before/>");
    page(&juliet, &both, false, &[5]);
}

/// §4.3.4: the same page, newest first; what its ends are does not change.
#[test]
fn a_flipped_page_comes_newest_first() {
    let world = world(Config::default());
    let (_, juliet) = five_messages(&world);
    asks(&juliet, &format!("{}<flip-page/>", set("<max>3</max><before/>")));
    [5, 4, 3].into_iter().for_each(|second| result(&juliet, second));
    fin(&juliet, false, &[3, 4, 5]);
}

/// XEP-0059 §2.6
#[test]
fn the_count_is_told_to_whoever_asks_for_nothing_else() {
    let world = world(Config::default());
    let (_, juliet) = five_messages(&world);
    asks(&juliet, &format!("{}{}", form(&[("after-id", &id(2_000))]), set("<max>0</max>")));
    juliet.receives(&format!(
        "<iq type='result' id='q'><fin xmlns='urn:xmpp:mam:2'>{}</fin></iq>",
        set("<count>3</count>")
    ));
}

/// A page has a limit whatever is asked for, in messages and in bytes.
#[test]
fn a_page_is_no_larger_than_the_server_allows() {
    let world = world(Config { page_default: 2, page_max: 3, ..Config::default() });
    let (romeo, juliet) = five_messages(&world);
    page(&juliet, "", false, &[1, 2]);
    page(&juliet, &set("<max>4294967295</max>"), false, &[1, 2, 3]);
    world.advance(1_000);
    for _ in 0..3 {
        says(&romeo, "juliet@example.com", &"x".repeat(300 * 1024));
    }
    world.forget_received();
    asks(&juliet, &set(&format!("<after>{}</after>", id(5_000))));
    let large = juliet.takes().map(|result| result.content.len());
    assert!(large.is_some_and(|bytes| bytes > 300 * 1024), "one message is a page, however large");
    fin(&juliet, false, &[6]);
}

/// §4.1.3, §4.3.2, XEP-0059 §2.4 and §3, RFC 6120 §8.3.3.1.
#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let world = world(Config::default());
    let (_, juliet) = five_messages(&world);
    let unknown = ["nonsense", "0", "+1", "fffffffffffffffff", &id(1_500), &id(1_000).to_uppercase()];
    for id in unknown.into_iter().filter(|id| *id != self::id(1_000)) {
        is_refused(&juliet, &set(&format!("<after>{id}</after>")), "cancel", "item-not-found");
        is_refused(&juliet, &set(&format!("<before>{id}</before>")), "cancel", "item-not-found");
        for field in ["after-id", "before-id", "ids"] {
            is_refused(&juliet, &form(&[(field, id)]), "cancel", "item-not-found");
        }
    }
    is_refused(&juliet, &form(&[("ids", &format!("{} {}", id(1_000), id(9_000)))]), "cancel", "item-not-found");
    for max in ["-1", "ten", "", "4294967296", "1.5"] {
        is_refused(&juliet, &set(&format!("<max>{max}</max>")), "modify", "bad-request");
    }
    let both = set(&format!("<after>{0}</after><before>{0}</before>", id(1_000)));
    is_refused(&juliet, &both, "modify", "bad-request");
    is_refused(&juliet, &form(&[("start", "yesterday")]), "modify", "bad-request");
    is_refused(&juliet, &form(&[("with", "@")]), "modify", "jid-malformed");
    is_refused(&juliet, "<x xmlns='jabber:x:data'/>", "modify", "bad-request");
    is_refused(&juliet, &set("<index>3</index>"), "cancel", "feature-not-implemented");
    is_refused(&juliet, &form(&[("include-groupchat", "true")]), "cancel", "feature-not-implemented");
    let ids = (0..=500).map(|number| format!("{number:x}")).collect::<Vec<_>>().join(" ");
    asks(&juliet, &form(&[("ids", &ids)]));
    juliet.receives(&iq_error("id='q'", "", "modify", "policy-violation"));
    juliet.receives_nothing();
}

/// T14: there is no way to somebody else's archive, and nothing to learn from trying.
#[test]
fn nobody_reads_somebody_elses_archive() {
    let world = world(Config::default());
    let (romeo, _) = five_messages(&world);
    let questions = [
        ("set", query("")),
        ("get", "<query xmlns='urn:xmpp:mam:2'/>".to_owned()),
        ("get", "<metadata xmlns='urn:xmpp:mam:2'/>".to_owned()),
        ("get", "<prefs xmlns='urn:xmpp:mam:2'/>".to_owned()),
        ("set", "<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>".to_owned()),
    ];
    for (kind, payload) in questions {
        for to in ["juliet@example.com", "nobody@example.com"] {
            romeo.sends(&format!("<iq type='{kind}' id='q' to='{to}'>{payload}</iq>"));
            romeo.receives(&iq_error(&format!("id='q' from='{to}'"), &payload, "cancel", "service-unavailable"));
        }
    }
    world.nobody_receives_anything();
}

/// §4.1.6
#[test]
fn the_form_tells_what_may_be_asked_for() {
    let world = world(Config::default());
    let juliet = world.online(JULIET);
    juliet.sends("<iq type='get' id='f'><query xmlns='urn:xmpp:mam:2'/></iq>");
    juliet.receives(
        "<iq type='result' id='f'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='form'>\
         <field type='hidden' var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
         <field type='jid-single' var='with'/><field type='text-single' var='start'/><field type='text-single' var='end'/>\
         <field type='text-single' var='before-id'/><field type='text-single' var='after-id'/>\
         <field type='list-multi' var='ids'><validate xmlns='http://jabber.org/protocol/xdata-validate' \
         datatype='xs:string'><open/></validate></field></x></query></iq>",
    );
}

/// §5
#[test]
fn the_metadata_tell_where_an_archive_begins_and_ends() {
    let world = world(Config::default());
    let metadata = |actor: &Actor<'_>, ends: &str| {
        actor.sends("<iq type='get' id='m'><metadata xmlns='urn:xmpp:mam:2'/></iq>");
        actor.receives(&format!("<iq type='result' id='m'><metadata xmlns='urn:xmpp:mam:2'>{ends}</metadata></iq>"));
    };
    metadata(&world.online("nurse@example.com/garden"), "");
    let (_, juliet) = five_messages(&world);
    metadata(
        &juliet,
        &format!(
            "<start id='{}' timestamp='1970-01-01T00:00:01Z'/><end id='{}' timestamp='1970-01-01T00:00:05Z'/>",
            id(1_000),
            id(5_000)
        ),
    );
}

/// §5.1.1: one entry for each owner, however many resources have it, and one only for what one says to oneself.
#[test]
fn each_owner_has_a_message_once() {
    let world = world(Config::default());
    let (romeo, _) = (world.online(ROMEO), world.online("romeo@example.net/field"));
    world.online(JULIET);
    world.online("juliet@example.com/chamber");
    says(&romeo, "juliet@example.com", "Hi");
    says(&romeo, "romeo@example.net", "Do not forget the ladder");
    world.forget_received();
    let count = |account: &str| world.store().log(&BareJid::parse(account).expect("a JID")).len();
    assert_eq!((count("romeo@example.net"), count("juliet@example.com")), (2, 1));
}

/// The sender's archive has what was sent, under an id of its own, though it never came anywhere.
#[test]
fn the_sender_finds_what_was_sent() {
    let world = world(Config::default());
    world.remote_domain("montague.example");
    let romeo = world.online(ROMEO);
    world.advance(1_000);
    says(&romeo, "tybalt@montague.example", "Hold thy tongue");
    asks(&romeo, "");
    romeo.receives(&format!(
        "<message from='romeo@example.net'><result xmlns='urn:xmpp:mam:2' queryid='f27' id='{0}'>\
         <forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:00:01Z'/>\
         <message xmlns='jabber:client' type='chat' from='{ROMEO}' to='tybalt@montague.example'>\
         <body>Hold thy tongue</body>{1}</message></forwarded></result></message>",
        id(1_000),
        stanza_id("romeo@example.net", &id(1_000))
    ));
    fin(&romeo, true, &[1]);
    world.remote_receives(&format!(
        "<message type='chat' from='{ROMEO}' to='tybalt@montague.example'><body>Hold thy tongue</body></message>"
    ));
}

/// XEP-0441: unsaid, said, kept, and limited.
#[test]
fn an_owner_says_what_is_archived() {
    let world = world(Config { preferences_max: 2, ..Config::default() });
    let (romeo, juliet) = (world.online(ROMEO), world.online(JULIET));
    let prefs = |default: &str, always: &str, never: &str| {
        format!(
            "<prefs xmlns='urn:xmpp:mam:2' default='{default}'><always>{always}</always><never>{never}</never></prefs>"
        )
    };
    let get = |expected: &str| {
        juliet.sends("<iq type='get' id='p'><prefs xmlns='urn:xmpp:mam:2'/></iq>");
        juliet.receives(&format!("<iq type='result' id='p'>{expected}</iq>"));
    };
    let set = |prefs: &str| {
        juliet.sends(&format!("<iq type='set' id='p'>{prefs}</iq>"));
        juliet.receives(&format!("<iq type='result' id='p'>{prefs}</iq>"));
    };
    let archived = |from: &Actor<'_>| {
        let account = BareJid::parse("juliet@example.com").expect("a JID");
        let before = world.store().log(&account).len();
        says(from, "juliet@example.com", "Hi");
        juliet.takes().expect("it is delivered in any case");
        world.store().log(&account).len() - before == 1
    };
    get(&prefs("always", "", ""));
    assert!(archived(&romeo));
    set(&prefs("always", "", "<jid>romeo@example.net</jid>"));
    assert!(!archived(&romeo));
    world.forget_caches();
    assert!(!archived(&romeo), "it is kept");
    set(&prefs("never", "<jid>romeo@example.net/field</jid>", ""));
    assert!(!archived(&romeo), "another resource");
    set(&prefs("never", &format!("<jid>{ROMEO}</jid>"), ""));
    assert!(archived(&romeo));
    set(&prefs("roster", "", ""));
    assert!(!archived(&romeo));
    let contact = BareJid::parse("romeo@example.net").expect("a JID");
    world.put_roster_item("juliet@example.com", RosterItem { listed: true, ..RosterItem::new(contact) });
    assert!(archived(&romeo));
    get(&prefs("roster", "", ""));

    let jid = |number: u32| format!("<jid>a{number}@example.com</jid>");
    let refused = |prefs: &str, condition: &str| {
        juliet.sends(&format!("<iq type='set' id='p'>{prefs}</iq>"));
        juliet.receives(&iq_error("id='p'", prefs, "modify", condition));
    };
    refused(&prefs("always", &(jid(1) + &jid(2)), &jid(3)), "policy-violation");
    refused(&prefs("sometimes", "", ""), "bad-request");
    refused(&prefs("always", "<jid>@</jid>", ""), "jid-malformed");
    get(&prefs("roster", "", ""));
}

/// While the store is away, nobody knows what the owner wants: what was not asked before can't be archived or passed on.
#[test]
fn while_the_store_is_away_messages_are_refused_and_the_rest_goes_on() {
    let world = world(Config::default());
    let (romeo, juliet) = five_messages(&world);
    world.store().set_away(true);
    says(&romeo, "juliet@example.com", "Hi");
    let error = |from: &str| {
        format!(
            "<message type='error' from='{from}'><body>Hi</body><error type='wait'>\
             <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        )
    };
    // The sender's own entry, then the recipient's.
    romeo.receives(&error("juliet@example.com"));
    romeo.receives(&error("juliet@example.com"));
    romeo.sends("<message type='chat' to='juliet@example.com'><active xmlns='http://jabber.org/protocol/chatstates'/></message>");
    juliet.receives(&format!(
        "<message type='chat' from='{ROMEO}'><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
    ));
    world.nobody_receives_anything();
}

/// §5.1.1, XEP-0160: one entry waits and is archived; a client that has read the archive is spared it.
#[test]
fn offline_messages_are_archived_once_and_handed_on_to_clients_that_do_not_read_the_archive() {
    let world = world(Config::default());
    let romeo = world.online(ROMEO);
    let account = world.account("juliet@example.com");
    world.advance(1_000);
    says(&romeo, "juliet@example.com", "1");
    romeo.sends(
        "<message type='chat' to='juliet@example.com'><body>not archived</body>\
         <no-permanent-store xmlns='urn:xmpp:hints'/></message>",
    );
    assert_eq!(world.store().log(&account).len(), 2, "one entry each");

    let reader = world.connect("juliet@example.com/reader");
    asks(&reader, "");
    reader.takes().expect("the archived message");
    fin(&reader, true, &[1]);
    reader.sends("<presence/>");
    reader.receives("<presence from='juliet@example.com/reader'/>");
    let stamp = "<delay xmlns='urn:xmpp:delay' from='example.com' stamp='1970-01-01T00:00:01Z'>Offline Storage</delay>";
    reader.receives(&format!(
        "<message type='chat' from='{ROMEO}'><body>not archived</body><no-permanent-store xmlns='urn:xmpp:hints'/>{stamp}\
         </message>"
    ));
    reader.receives_nothing();
    assert_eq!(world.store().log(&account).len(), 1, "what is not archived is forgotten");
    reader.disconnects();
    world.forget_received();

    world.advance(1_000);
    says(&romeo, "juliet@example.com", "2");
    let juliet = world.connect(JULIET);
    juliet.sends("<presence/>");
    juliet.receives(&format!("<presence from='{JULIET}'/>"));
    juliet.receives(&format!(
        "<message type='chat' from='{ROMEO}'><body>2</body>{}{}</message>",
        stanza_id("juliet@example.com", &id(2_000)),
        stamp.replace("01Z", "02Z")
    ));
    juliet.receives_nothing();
    page(&juliet, "", true, &[1, 2]);
}

/// P1: what a session did not take waits again, as the entry that it is.
#[test]
fn an_archived_message_that_did_not_arrive_waits_as_the_same_entry() {
    let world = world(Config::default());
    let romeo = world.online(ROMEO);
    let juliet = world.online(JULIET);
    world.advance(1_000);
    says(&romeo, "juliet@example.com", "1");
    juliet.is_lost();
    world.forget_received();
    let juliet = world.connect(JULIET);
    juliet.sends("<presence/>");
    juliet.receives(&format!("<presence from='{JULIET}'/>"));
    juliet.receives(&format!(
        "<message type='chat' from='{ROMEO}'><body>1</body>{}\
         <delay xmlns='urn:xmpp:delay' from='example.com' stamp='1970-01-01T00:00:01Z'>Offline Storage</delay></message>",
        stanza_id("juliet@example.com", &id(1_000))
    ));
    juliet.receives_nothing();
    page(&juliet, "", true, &[1]);
}

/// The next session is there before the store knows that a message waits again: it gets it once.
#[test]
fn a_message_that_did_not_arrive_comes_to_a_session_that_was_there_before_it_waited() {
    let world = world(Config::default());
    let (romeo, juliet) = (world.online(ROMEO), world.online(JULIET));
    world.advance(1_000);
    says(&romeo, "juliet@example.com", "1");
    juliet.sends("<presence type='unavailable'/>");
    world.advance(1_000);
    says(&romeo, "juliet@example.com", "2");
    juliet.receives(&format!(
        "<message type='chat' from='{ROMEO}'><body>1</body>{}</message>",
        stanza_id("juliet@example.com", &id(1_000))
    ));
    let account = world.account("juliet@example.com");
    let waiting = || world.store().log(&account).iter().map(|entry| entry.waiting).collect::<Vec<_>>();
    assert_eq!(waiting(), [false, true]);

    // The second one waits; the first one is about to.
    let lost = world.online("juliet@example.com/chamber");
    says(&romeo, "juliet@example.com/chamber", "3");
    world.hold_store();
    lost.is_lost();
    let next = world.connect("juliet@example.com/attic");
    next.sends("<presence/>");
    next.receives("<presence from='juliet@example.com/attic'/>");
    next.receives_nothing();
    world.release_store();
    next.receives(&format!(
        "<message type='chat' from='{ROMEO}' to='juliet@example.com/chamber'><body>3</body>{}</message>",
        stanza_id("juliet@example.com", "*")
    ));
    next.receives_nothing();
    assert_eq!(waiting(), [false, false, false]);
    next.disconnects();
    world.online(JULIET).receives_nothing();
}

/// As before, and what waited already was handed on meanwhile: the store has taken the other one for handed on too.
#[test]
fn a_message_that_was_passed_over_waits_on() {
    let world = world(Config::default());
    let (romeo, juliet) = (world.online(ROMEO), world.online(JULIET));
    world.advance(1_000);
    says(&romeo, "juliet@example.com", "1");
    juliet.sends("<presence type='unavailable'/>");
    world.advance(1_000);
    says(&romeo, "juliet@example.com", "2");
    world.hold_store();
    juliet.is_lost();
    let next = world.connect("juliet@example.com/attic");
    next.sends("<presence/>");
    next.receives("<presence from='juliet@example.com/attic'/>");
    assert!(next.takes().is_some_and(|message| message.content.starts_with(b"<body>2")));
    next.receives_nothing();
    next.disconnects();
    world.release_store();
    let account = world.account("juliet@example.com");
    let waiting: Vec<_> = world.store().log(&account).iter().map(|entry| entry.waiting).collect();
    assert_eq!(waiting, [true, false]);
}

/// P1, P2: a leader that dies may have stored a message and not delivered it to everybody; the next one makes up for that, once.
#[test]
fn a_message_that_an_earlier_leader_has_stored_goes_to_those_who_have_not_got_it() {
    let world = world(Config::default());
    let (romeo, balcony) = (world.online(ROMEO), world.online(JULIET));
    let message = "<message type='chat' to='juliet@example.com'><body>Hi</body><origin-id xmlns='urn:xmpp:sid:0' id='o1'/></message>";
    romeo.sends(message);
    balcony.takes().expect("the message");
    let chamber = world.online("juliet@example.com/chamber");
    world.forget_received();
    world.forget_caches();
    romeo.sends(message);
    let late = chamber.takes().expect("the message");
    assert!(late.logged > 0);
    romeo.sends(message);
    world.nobody_receives_anything();
}

/// P3: what waits from the same sender comes first, also where the resource is connected and takes no messages of the account yet.
#[test]
fn a_message_to_a_resource_that_is_only_connected_does_not_overtake_what_waits() {
    let world = world(Config::default());
    world.account("juliet@example.com");
    let romeo = world.online(ROMEO);
    says(&romeo, JULIET, "1");
    let juliet = world.connect(JULIET);
    says(&romeo, JULIET, "2");
    juliet.receives_nothing();
    juliet.sends("<presence/>");
    juliet.takes().expect("her own presence");
    for body in ["1", "2"] {
        let message = juliet.takes().expect("a message that waited");
        assert!(String::from_utf8_lossy(&message.content).contains(&format!("<body>{body}</body>")), "{message:?}");
    }
    says(&romeo, JULIET, "3");
    juliet.takes().expect("the message");
    world.nobody_receives_anything();
}

/// A page of the archive that did not arrive is asked for again: nobody keeps it.
#[test]
fn results_that_did_not_arrive_are_kept_nowhere() {
    let world = world(Config::default());
    let (_, juliet) = five_messages(&world);
    asks(&juliet, "");
    juliet.is_lost();
    let juliet = world.online(JULIET);
    page(&juliet, "", true, &[1, 2, 3, 4, 5]);
}

/// P2: recognised for each owner, by the new leader of a shard too.
#[test]
fn a_message_that_is_sent_again_is_stored_and_delivered_once() {
    let world = world(Config::default());
    let (romeo, juliet) = (world.online(ROMEO), world.online(JULIET));
    let message = "<message type='chat' to='juliet@example.com'><body>Hi</body><origin-id xmlns='urn:xmpp:sid:0' id='o1'/></message>";
    let counts = || {
        ["romeo@example.net", "juliet@example.com"]
            .map(|account| world.store().log(&BareJid::parse(account).expect("a JID")).len())
    };
    romeo.sends(message);
    juliet.takes().expect("the message");
    romeo.sends(message);
    let field = world.online("romeo@example.net/field");
    field.sends(message);
    world.forget_caches();
    romeo.sends(message);
    assert_eq!(counts(), [1, 1]);
    world.nobody_receives_anything();

    says(&romeo, "juliet@example.com", "without an id");
    juliet.takes().expect("the message");
    romeo.sends_again("<message type='chat' to='juliet@example.com'><body>without an id</body></message>");
    world.forget_caches();
    romeo.sends_again("<message type='chat' to='juliet@example.com'><body>without an id</body></message>");
    assert_eq!(counts(), [2, 2]);
    world.nobody_receives_anything();

    // Somebody else's id is somebody else's.
    world.online("nurse@example.com/garden").sends(message);
    juliet.takes().expect("another message");
    assert_eq!(counts(), [2, 3]);
}

/// Retention: older messages go in small steps, what waits stays.
#[test]
fn what_is_older_than_the_host_keeps_is_taken_away() {
    let world = world(Config { retention_days: 1, ..Config::default() });
    let (_, juliet) = five_messages(&world);
    assert_eq!(world.prune("example.com", 100), 0);
    world.advance(DAY_MS - 2_000);
    assert_eq!(world.prune("example.com", 1), 1);
    assert_eq!(world.prune("example.com", 100), 1);
    page(&juliet, "", true, &[3, 4, 5]);
    is_refused(&juliet, &set(&format!("<after>{}</after>", id(1_000))), "cancel", "item-not-found");
}

/// An account that was removed leaves nothing to the next one of its name.
#[test]
fn a_removed_account_leaves_no_archive() {
    let world = world(Config::default());
    five_messages(&world);
    assert_eq!(world.administer("juliet@example.com", AdminCommand::Remove), Ok(()));
    let juliet = world.online(JULIET);
    page(&juliet, "", true, &[]);
}

/// T25: the edge takes ids in our name out; this is what it is asked for.
#[test]
fn a_clients_stanza_id_in_our_name_is_taken_out_at_the_edge() {
    let forged = "<message xmlns='jabber:client'><body>Hi</body>\
                  <stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='forged'/>\
                  <stanza-id xmlns='urn:xmpp:sid:0' by='room@elsewhere.example' id='theirs'/>\
                  <origin-id xmlns='urn:xmpp:sid:0' id='o1'/></message>";
    let mut stanza = Envelope::read_alone(forged.as_bytes()).expect("XML");
    assert_eq!(stanza.take_out_asserted(|by| by.domain() == "example.com").ok(), Some(1));
    let left = String::from_utf8_lossy(&stanza.content).into_owned();
    assert!(!left.contains("forged") && left.contains("theirs") && left.contains("o1"), "{left}");
}
