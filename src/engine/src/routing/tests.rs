//! RFC 6121 §8, as transcripts.

use crate::testing::{Actor, World};

/// What a row of §8.5.4 promises.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Delivered to the matching resource alone.
    Deliver,
    /// Delivered to all resources of non-negative priority.
    All,
    /// `service-unavailable`.
    Error,
    /// Nothing at all.
    Silence,
}
use Fate::{All, Deliver, Error, Silence};

/// The resources of Juliet: balcony is the one addressed where a full JID matches.
#[derive(Clone, Copy, Debug)]
enum Juliet {
    DoesNotExist,
    HasNoResources,
    HasNegative,
    HasOne,
    HasTwo,
}
use Juliet::{DoesNotExist, HasNegative, HasNoResources, HasOne, HasTwo};

const BARE: &str = "juliet@example.com";
const MATCH: &str = "juliet@example.com/balcony";
const NO_MATCH: &str = "juliet@example.com/chamber";

/// §8.5.4, row by row. Without offline storage "offline" means `service-unavailable`; of the choices that the RFC leaves,
/// silence for headlines, all resources of non-negative priority for the bare JID.
#[rustfmt::skip]
const SUMMARY: &[(Juliet, &str, [Fate; 4])] = &[
    //                         normal   chat     groupchat  headline
    (DoesNotExist,   BARE,     [Error,   Error,   Error,     Silence]),
    (DoesNotExist,   NO_MATCH, [Error,   Error,   Error,     Silence]),
    (HasNoResources, BARE,     [Error,   Error,   Error,     Silence]),
    (HasNoResources, NO_MATCH, [Error,   Error,   Error,     Silence]),
    (HasNegative,    BARE,     [Error,   Error,   Error,     Silence]),
    (HasNegative,    MATCH,    [Deliver, Deliver, Deliver,   Deliver]),
    (HasNegative,    NO_MATCH, [Error,   Error,   Error,     Silence]),
    (HasOne,         BARE,     [All,     All,     Error,     All]),
    (HasOne,         MATCH,    [Deliver, Deliver, Deliver,   Deliver]),
    (HasOne,         NO_MATCH, [Error,   All,     Error,     Silence]),
    (HasTwo,         BARE,     [All,     All,     Error,     All]),
    (HasTwo,         MATCH,    [Deliver, Deliver, Deliver,   Deliver]),
    (HasTwo,         NO_MATCH, [Error,   All,     Error,     Silence]),
];

#[test]
fn section_8_5_4_holds_row_by_row() {
    for (juliet, to, fates) in SUMMARY {
        for (kind, fate) in ["normal", "chat", "groupchat", "headline"].into_iter().zip(fates) {
            println!("{juliet:?}, {kind} to {to}: {fate:?}");
            check(*juliet, to, kind, *fate);
        }
    }
}

fn check(juliet: Juliet, to: &str, kind: &str, fate: Fate) {
    let world = World::new(Vec::new());
    let (balcony, others) = connect(&world, juliet);
    let romeo = world.online("romeo@example.net/orchard");
    let romeos_other = world.online("romeo@example.net/field");
    world.forget_received();

    let kind = if kind == "normal" { String::new() } else { format!(" type='{kind}'") };
    romeo.sends(&format!("<message{kind} to='{to}' id='m'/>"));

    let delivered = format!("<message{kind} from='romeo@example.net/orchard' to='{to}' id='m'/>");
    match fate {
        Deliver => balcony.expect("a row with a match").receives(&delivered),
        All => balcony.iter().chain(&others).for_each(|resource| resource.receives(&delivered)),
        Error => romeo.receives(&format!(
            "<message type='error' from='{to}' to='romeo@example.net/orchard' id='m'><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        )),
        Silence => {}
    }
    romeos_other.receives_nothing();
    world.nobody_receives_anything();
}

fn connect(world: &World, juliet: Juliet) -> (Option<Actor<'_>>, Vec<Actor<'_>>) {
    let available = |resource: &str, priority: i8| {
        let actor = world.connect(&format!("{BARE}/{resource}"));
        actor.sends(&format!("<presence><priority>{priority}</priority></presence>"));
        actor
    };
    match juliet {
        DoesNotExist => (None, Vec::new()),
        HasNoResources => {
            world.account(BARE);
            (None, Vec::new())
        }
        HasNegative => (Some(available("balcony", -1)), Vec::new()),
        HasOne => {
            // Neither a negative resource nor one that is merely connected takes what is for the bare JID.
            available("cellar", -5);
            world.connect("juliet@example.com/attic");
            (Some(available("balcony", 0)), Vec::new())
        }
        HasTwo => (Some(available("balcony", 1)), vec![available("garden", 10)]),
    }
}

#[test]
fn a_message_between_users_who_are_online_asks_the_store_nothing() {
    let world = World::new(Vec::new());
    let romeo = world.online("romeo@example.net/orchard");
    let juliet = world.online("juliet@example.com/balcony");
    world.store().take_asked();
    romeo.sends("<message to='juliet@example.com' type='chat'><body>Call me but love</body></message>");
    juliet.receives("<message from='romeo@example.net/orchard' type='chat'><body>Call me but love</body></message>");
    romeo.sends("<message to='juliet@example.com/balcony' type='chat'/>");
    juliet.receives("<message from='romeo@example.net/orchard' type='chat'/>");
    assert_eq!(world.store().take_asked(), Vec::<&str>::new());
}

/// RFC 6120 §10.3.1
#[test]
fn a_message_without_to_is_for_the_senders_own_account() {
    let world = World::new(Vec::new());
    let orchard = world.online("romeo@example.net/orchard");
    let field = world.online("romeo@example.net/field");
    world.forget_received();
    orchard.sends("<message type='chat' id='note'/>");
    for resource in [orchard, field] {
        resource.receives("<message type='chat' from='romeo@example.net/orchard' to='romeo@example.net' id='note'/>");
    }
    world.nobody_receives_anything();
}

/// RFC 6121 §8.5.2.1.1, §8.5.3.2.1; RFC 6120 §8.3.1
#[test]
fn errors_are_delivered_or_dropped_but_never_answered() {
    let world = World::new(Vec::new());
    let romeo = world.online("romeo@example.net/orchard");
    let juliet = world.online("juliet@example.com/balcony");
    for to in [BARE, NO_MATCH, "nobody@example.com", "example.com", "romeo@nowhere.example"] {
        romeo.sends(&format!("<message type='error' to='{to}'/>"));
        romeo.sends(&format!("<iq type='error' to='{to}' id='e'/>"));
        romeo.sends(&format!("<iq type='result' to='{to}' id='r'/>"));
        romeo.sends(&format!("<presence type='error' to='{to}'/>"));
    }
    juliet.receives("<presence type='error' from='romeo@example.net/orchard'/>");
    romeo.sends(&format!("<message type='error' to='{MATCH}'/>"));
    juliet.receives("<message type='error' from='romeo@example.net/orchard'/>");
    world.nobody_receives_anything();
}

/// RFC 6121 §8.5.3.1, §8.5.3.2.3
#[test]
fn an_iq_to_a_full_jid_reaches_the_resource_and_its_answer_comes_back() {
    let world = World::new(Vec::new());
    let romeo = world.online("romeo@example.net/orchard");
    let juliet = world.connect(MATCH); // connected is enough
    romeo.sends("<iq type='get' to='juliet@example.com/balcony' id='1'><query xmlns='jabber:iq:version'/></iq>");
    juliet.receives("<iq type='get' from='romeo@example.net/orchard' id='1'><query xmlns='jabber:iq:version'/></iq>");
    juliet.sends("<iq type='result' to='romeo@example.net/orchard' id='1'/>");
    romeo.receives("<iq type='result' from='juliet@example.com/balcony' id='1'/>");
    romeo.sends("<iq type='get' to='juliet@example.com/chamber' id='2'><query xmlns='jabber:iq:version'/></iq>");
    romeo.receives(&unavailable_iq("juliet@example.com/chamber", "2"));
    world.nobody_receives_anything();
}

fn unavailable_iq(from: &str, id: &str) -> String {
    format!(
        "<iq type='error' from='{from}' to='romeo@example.net/orchard' id='{id}'><query xmlns='jabber:iq:version'/>\
         <error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
}

/// RFC 6121 §8.4, §8.5.2.1.3
#[test]
fn an_iq_that_nobody_serves_is_answered_for_server_and_accounts_alike() {
    let world = World::new(Vec::new());
    let romeo = world.online("romeo@example.net/orchard");
    let juliet = world.online(MATCH);
    for to in ["example.net", "example.com", "example.net/resource", BARE, "romeo@example.net"] {
        romeo.sends(&format!("<iq type='get' to='{to}' id='1'><query xmlns='jabber:iq:version'/></iq>"));
        romeo.receives(&unavailable_iq(to, "1"));
    }
    juliet.receives_nothing();
    romeo.sends("<iq type='get' id='2'><query xmlns='jabber:iq:version'/></iq>");
    romeo.receives(
        "<iq type='error' id='2'><query xmlns='jabber:iq:version'/><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );
}

/// RFC 6120 §10.4
#[test]
fn a_domain_that_nobody_serves_is_not_found() {
    let world = World::new(Vec::new());
    let romeo = world.online("romeo@example.net/orchard");
    romeo.sends("<message to='juliet@nowhere.example' id='m'/>");
    romeo.receives(
        "<message type='error' from='juliet@nowhere.example' id='m'><error type='cancel'>\
         <remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    romeo.sends("<presence type='subscribe' to='juliet@nowhere.example' id='p'/>");
    romeo.receives(
        "<presence type='error' from='juliet@nowhere.example' id='p'><error type='cancel'>\
         <remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    );
    world.nobody_receives_anything();
}

#[test]
fn stanzas_travel_to_and_from_other_servers() {
    let world = World::new(Vec::new());
    world.remote_domain("capulet.example");
    let romeo = world.online("romeo@example.net/orchard");
    romeo.sends("<message to='nurse@capulet.example/hall' id='1'/>");
    world.remote_receives("<message from='romeo@example.net/orchard' to='nurse@capulet.example/hall' id='1'/>");
    world.remote_sends("<message from='nurse@capulet.example/hall' to='romeo@example.net' type='chat' id='2'/>");
    romeo.receives("<message from='nurse@capulet.example/hall' type='chat' id='2'/>");
    world.remote_sends("<message from='nurse@capulet.example/hall' to='paris@example.net' type='chat' id='3'/>");
    world.remote_receives(
        "<message type='error' from='paris@example.net' to='nurse@capulet.example/hall' id='3'><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    world.nobody_receives_anything();
}

#[test]
fn a_message_that_a_lost_session_did_not_take_goes_to_another_or_back() {
    let world = World::new(Vec::new());
    let romeo = world.online("romeo@example.net/orchard");
    let balcony = world.online(MATCH);
    let chamber = world.online(NO_MATCH);
    world.forget_received();
    romeo.sends("<message to='juliet@example.com/balcony' type='chat' id='1'/>");
    romeo.sends("<message to='juliet@example.com/balcony' id='2'/>");
    balcony.is_lost();
    chamber.receives("<presence type='unavailable' from='juliet@example.com/balcony'/>");
    chamber.receives("<message from='romeo@example.net/orchard' to='juliet@example.com/balcony' type='chat' id='1'/>");
    chamber.receives("<message from='romeo@example.net/orchard' to='juliet@example.com/balcony' id='2'/>");
    world.nobody_receives_anything();

    romeo.sends("<message to='juliet@example.com' type='chat' id='3'/>");
    romeo.sends("<iq type='get' to='juliet@example.com/chamber' id='4'><query xmlns='jabber:iq:version'/></iq>");
    chamber.is_lost();
    romeo.receives(
        "<message type='error' from='juliet@example.com' id='3' to='romeo@example.net/orchard'><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    romeo.receives(&unavailable_iq(NO_MATCH, "4"));
    world.nobody_receives_anything();
}

/// T14, T31: whoever may not know can't tell an account that is absent from one that does not exist.
#[test]
fn absent_and_unknown_accounts_answer_alike() {
    let stanzas = [
        "<message to='TO' type='chat' id='1'/>",
        "<message to='TO' id='1'/>",
        "<message to='TO' type='headline' id='1'/>",
        "<message to='TO' type='groupchat' id='1'/>",
        "<message to='TO/hall' type='chat' id='1'/>",
        "<iq to='TO' type='get' id='1'><query xmlns='jabber:iq:version'/></iq>",
        "<iq to='TO' type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
        "<iq to='TO' type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>",
        "<iq to='TO/hall' type='get' id='1'><query xmlns='jabber:iq:version'/></iq>",
        "<presence to='TO'/>",
        "<presence to='TO/hall'/>",
        "<presence to='TO' type='probe'/>",
        "<presence to='TO/hall' type='probe'/>",
        "<presence to='TO' type='subscribe'/>",
        "<presence to='TO' type='subscribed'/>",
        "<presence to='TO' type='unsubscribe'/>",
        "<presence to='TO' type='unsubscribed'/>",
    ];
    let transcript = |to: &str| -> Vec<String> {
        let world = World::new(Vec::new());
        world.account("absent@example.com");
        let romeo = world.online("romeo@example.net/orchard");
        let mut heard = Vec::new();
        for stanza in stanzas {
            romeo.sends(&stanza.replace("TO", to));
            while let Some(answer) = romeo.takes() {
                let mut out = Vec::new();
                answer.write(&mut out, None);
                let text = String::from_utf8(out).expect("UTF-8").replace(to, "TO");
                heard.push(format!("{stanza} → {text}"));
            }
        }
        heard
    };
    assert_eq!(transcript("absent@example.com"), transcript("unknwn@example.com"));
}
