//! RFC 6121 §2 and §3, as transcripts.

use vesta_xmpp::BareJid;

use super::{RosterItem, Subscription};
use crate::engine::Settings;
use crate::testing::{Actor, World};

const ROMEO: &str = "romeo@example.net";
const JULIET: &str = "juliet@example.com";
const GET: &str = "<iq type='get' id='get'><query xmlns='jabber:iq:roster'/></iq>";

fn result(id: &str) -> String {
    format!("<iq type='result' id='{id}'/>")
}

fn set(item: &str) -> String {
    format!("<iq type='set' id='set'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
}

fn push(item: &str) -> String {
    format!("<iq type='set' id='*'><query xmlns='jabber:iq:roster' ver='*'>{item}</query></iq>")
}

fn roster(items: &str) -> String {
    format!("<iq type='result' id='get'><query xmlns='jabber:iq:roster'>{items}</query></iq>")
}

fn refusal(item: &str, kind: &str, condition: &str) -> String {
    format!(
        "<iq type='error' id='set'><query xmlns='jabber:iq:roster'>{item}</query><error type='{kind}'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
}

/// Romeo and Juliet, online, strangers.
fn strangers(world: &World) -> (Actor<'_>, Actor<'_>) {
    let romeo = world.online("romeo@example.net/orchard");
    let juliet = world.online("juliet@example.com/balcony");
    world.forget_received();
    (romeo, juliet)
}

fn stored(world: &World, account: &str) -> Vec<RosterItem> {
    world.store().roster_items(&BareJid::parse(account).expect("a JID"))
}

/// §2.2, §2.3, §2.4: an item is added and changed; interested resources get pushes, others do not.
#[test]
fn a_roster_set_is_stored_answered_and_pushed_to_interested_resources() {
    let world = World::new(Vec::new());
    let orchard = world.online("romeo@example.net/orchard");
    let field = world.connect("romeo@example.net/field");
    let not_interested = world.connect("romeo@example.net/cell");
    field.sends(GET);
    field.receives(&roster(""));

    orchard.sends(&set("<item jid='juliet@example.com' name='Juliet'><group>Friends</group></item>"));
    let item = "<item jid='juliet@example.com' name='Juliet' subscription='none'><group>Friends</group></item>";
    orchard.receives(&push(item));
    orchard.receives(&result("set"));
    field.receives(&push(item));
    not_interested.receives_nothing();

    field.sends(&set("<item jid='juliet@example.com'><group>Verona</group><group>Love</group></item>"));
    let item = "<item jid='juliet@example.com' subscription='none'><group>Verona</group><group>Love</group></item>";
    orchard.receives(&push(item));
    field.receives(&push(item));
    field.receives(&result("set"));
    field.sends("<iq type='result' id='some push'/>");
    not_interested.sends(GET);
    not_interested.receives(&roster(item));
    world.nobody_receives_anything();
}

/// T30, §2.1.2.5, §2.1.2.2: what the server alone says is not taken from a client.
#[test]
fn a_client_can_not_set_subscription_ask_or_approved() {
    let world = World::new(Vec::new());
    let romeo = world.online("romeo@example.net/orchard");
    romeo.sends(&set("<item jid='juliet@example.com' subscription='both' ask='subscribe' approved='true'/>"));
    romeo.receives(&push("<item jid='juliet@example.com' subscription='none'/>"));
    romeo.receives(&result("set"));
    world.befriend(ROMEO, JULIET);
    romeo.sends(&set("<item jid='juliet@example.com' subscription='none' name='J'/>"));
    romeo.receives(&push("<item jid='juliet@example.com' subscription='both' name='J'/>"));
    romeo.receives(&result("set"));
    world.nobody_receives_anything();
}

/// §2.3.3
#[test]
fn a_roster_set_that_is_wrong_is_refused() {
    let long = "x".repeat(1024);
    let cases = [
        ("".to_owned(), "modify", "bad-request"),
        ("<item jid='a@b'/><item jid='c@d'/>".to_owned(), "modify", "bad-request"),
        ("<item/>".to_owned(), "modify", "bad-request"),
        ("<item jid='@'/>".to_owned(), "modify", "jid-malformed"),
        ("<item jid='a@b'><group>G</group><group>G</group></item>".to_owned(), "modify", "bad-request"),
        ("<item jid='a@b'><group/></item>".to_owned(), "modify", "not-acceptable"),
        (format!("<item jid='a@b'><group>{long}</group></item>"), "modify", "not-acceptable"),
        (format!("<item jid='a@b' name='{long}'/>"), "modify", "not-acceptable"),
        ("<item jid='romeo@example.net'/>".to_owned(), "cancel", "not-allowed"),
        ("<item jid='a@b' subscription='remove'/>".to_owned(), "cancel", "item-not-found"),
    ];
    let world = World::new(Vec::new());
    let romeo = world.online("romeo@example.net/orchard");
    for (item, kind, condition) in cases {
        romeo.sends(&set(&item));
        romeo.receives(&refusal(&item, kind, condition));
    }
    assert_eq!(stored(&world, ROMEO), []);
    world.nobody_receives_anything();
}

/// §2.6: a client that has the current version gets an empty result.
#[test]
fn a_roster_has_a_version_that_grows_with_each_visible_change() {
    let world = World::new(Vec::new());
    let romeo = world.online("romeo@example.net/orchard");
    let get = |version: &str| {
        romeo.sends(&format!("<iq type='get' id='get'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>"));
    };
    get("");
    romeo.receives("<iq type='result' id='get'><query xmlns='jabber:iq:roster' ver='0'/></iq>");
    romeo.sends(&set("<item jid='juliet@example.com'/>"));
    let item = "<item jid='juliet@example.com' subscription='none'/>";
    romeo.receives(&push(item).replace("ver='*'", "ver='1'"));
    romeo.receives(&result("set"));
    get("0");
    romeo.receives(&roster(item).replace("roster'>", "roster' ver='1'>"));
    get("1");
    romeo.receives(&result("get"));

    // A request that waits for Romeo's answer is no part of what he sees: the version stays.
    world.online("nurse@example.com/hall").sends("<presence type='subscribe' to='romeo@example.net'/>");
    romeo.receives("<presence type='subscribe' from='nurse@example.com' to='romeo@example.net'/>");
    get("1");
    romeo.receives(&result("get"));
    romeo.receives_nothing();
}

/// §3.1, §3.1.5, §3.1.6: Romeo asks, Juliet approves and asks back.
#[test]
fn a_subscription_is_asked_for_and_approved() {
    let world = World::new(Vec::new());
    let (romeo, juliet) = strangers(&world);

    romeo.sends("<presence type='subscribe' to='juliet@example.com/balcony' id='s'><status>O</status></presence>");
    romeo.receives(&push("<item jid='juliet@example.com' subscription='none' ask='subscribe'/>"));
    juliet.receives("<presence type='subscribe' from='romeo@example.net' to='juliet@example.com' id='s'><status>O</status></presence>");
    world.nobody_receives_anything();

    juliet.sends("<presence type='subscribed' to='romeo@example.net'/>");
    juliet.receives(&push("<item jid='romeo@example.net' subscription='from'/>"));
    romeo.receives("<presence type='subscribed' from='juliet@example.com' to='romeo@example.net'/>");
    romeo.receives(&push("<item jid='juliet@example.com' subscription='to'/>"));
    romeo.receives("<presence from='juliet@example.com/balcony' to='romeo@example.net'/>");
    world.nobody_receives_anything();

    juliet.sends("<presence type='subscribe' to='romeo@example.net'/>");
    juliet.receives(&push("<item jid='romeo@example.net' subscription='from' ask='subscribe'/>"));
    romeo.receives("<presence type='subscribe' from='juliet@example.com'/>");
    romeo.sends("<presence type='subscribed' to='juliet@example.com'/>");
    romeo.receives(&push("<item jid='juliet@example.com' subscription='both'/>"));
    juliet.receives("<presence type='subscribed' from='romeo@example.net'/>");
    juliet.receives(&push("<item jid='romeo@example.net' subscription='both'/>"));
    juliet.receives("<presence from='romeo@example.net/orchard'/>");
    world.nobody_receives_anything();
}

/// §3.1.3: a request waits, hidden, and is shown at each login until it is answered; a denial ends it (§3.2).
#[test]
fn a_request_is_shown_at_each_login_until_it_is_denied() {
    let world = World::new(Vec::new());
    world.account(JULIET);
    let romeo = world.online("romeo@example.net/orchard");
    romeo.sends("<presence type='subscribe' to='juliet@example.com'/>");
    romeo.receives(&push("<item jid='juliet@example.com' subscription='none' ask='subscribe'/>"));
    romeo.sends("<presence type='subscribe' to='juliet@example.com'/>");

    let request = "<presence type='subscribe' from='romeo@example.net' to='juliet@example.com'/>";
    for _ in 0..2 {
        world.forget_caches();
        let juliet = world.connect("juliet@example.com/balcony");
        juliet.sends(GET);
        juliet.receives(&roster(""));
        juliet.sends("<presence/>");
        juliet.receives("<presence from='juliet@example.com/balcony'/>");
        juliet.receives(request);
        juliet.sends("<presence><show>away</show></presence>");
        juliet.receives("<presence from='juliet@example.com/balcony'><show>away</show></presence>");
        juliet.disconnects();
    }
    let juliet = world.online("juliet@example.com/balcony");
    juliet.sends("<presence type='unsubscribed' to='romeo@example.net'/>");
    romeo.receives("<presence type='unsubscribed' from='juliet@example.com'/>");
    romeo.receives(&push("<item jid='juliet@example.com' subscription='none'/>"));
    assert_eq!(stored(&world, JULIET), []);
    world.nobody_receives_anything();
}

/// §3.2, §3.3: both ways of ending it.
#[test]
fn a_subscription_is_cancelled_and_given_up() {
    let world = World::new(Vec::new());
    world.befriend(ROMEO, JULIET);
    let (romeo, juliet) = strangers(&world);

    juliet.sends("<presence type='unsubscribed' to='romeo@example.net'/>");
    juliet.receives(&push("<item jid='romeo@example.net' subscription='to'/>"));
    romeo.receives("<presence type='unsubscribed' from='juliet@example.com'/>");
    romeo.receives(&push("<item jid='juliet@example.com' subscription='from'/>"));
    romeo.receives("<presence type='unavailable' from='juliet@example.com/balcony'/>");
    world.nobody_receives_anything();

    juliet.sends("<presence type='unsubscribe' to='romeo@example.net'/>");
    juliet.receives(&push("<item jid='romeo@example.net' subscription='none'/>"));
    romeo.receives("<presence type='unsubscribe' from='juliet@example.com'/>");
    romeo.receives(&push("<item jid='juliet@example.com' subscription='none'/>"));
    juliet.receives("<presence type='unavailable' from='romeo@example.net/orchard'/>");
    world.nobody_receives_anything();
}

/// §2.5.2
#[test]
fn removing_an_item_ends_both_subscriptions() {
    let world = World::new(Vec::new());
    world.befriend(ROMEO, JULIET);
    let (romeo, juliet) = strangers(&world);
    romeo.sends(&set("<item jid='juliet@example.com' subscription='remove'/>"));
    romeo.receives(&push("<item jid='juliet@example.com' subscription='remove'/>"));
    romeo.receives(&result("set"));
    juliet.receives("<presence type='unsubscribe' from='romeo@example.net'/>");
    juliet.receives(&push("<item jid='romeo@example.net' subscription='to'/>"));
    juliet.receives("<presence type='unsubscribed' from='romeo@example.net'/>");
    juliet.receives(&push("<item jid='romeo@example.net' subscription='none'/>"));
    juliet.receives("<presence type='unavailable' from='romeo@example.net/orchard'/>");
    romeo.receives("<presence type='unavailable' from='juliet@example.com/balcony'/>");
    assert_eq!(stored(&world, ROMEO), []);
    world.nobody_receives_anything();
}

/// §3.1.3: who may see already is told so at once.
#[test]
fn a_request_of_somebody_who_may_see_already_is_answered_by_the_server() {
    let world = World::new(Vec::new());
    let contact = BareJid::parse(ROMEO).expect("a JID");
    let item = RosterItem { subscription: Subscription::From, listed: true, ..RosterItem::new(contact) };
    world.put_roster_item(JULIET, item);
    let (romeo, _) = strangers(&world);
    romeo.sends("<presence type='subscribe' to='juliet@example.com'/>");
    romeo.receives(&push("<item jid='juliet@example.com' subscription='none' ask='subscribe'/>"));
    romeo.receives("<presence type='subscribed' from='juliet@example.com'/>");
    romeo.receives(&push("<item jid='juliet@example.com' subscription='to'/>"));
    world.nobody_receives_anything();
}

/// §3.4: Juliet approves before Romeo asks; and takes it back.
#[test]
fn a_subscription_can_be_approved_beforehand() {
    let world = World::new(Vec::new());
    let (romeo, juliet) = strangers(&world);
    juliet.sends("<presence type='subscribed' to='romeo@example.net'/>");
    juliet.receives(&push("<item jid='romeo@example.net' subscription='none' approved='true'/>"));
    world.nobody_receives_anything();
    juliet.sends("<presence type='unsubscribed' to='romeo@example.net'/>");
    juliet.receives(&push("<item jid='romeo@example.net' subscription='none'/>"));
    world.nobody_receives_anything();
    juliet.sends("<presence type='subscribed' to='romeo@example.net'/>");
    world.forget_received();

    romeo.sends("<presence type='subscribe' to='juliet@example.com'/>");
    romeo.receives(&push("<item jid='juliet@example.com' subscription='none' ask='subscribe'/>"));
    juliet.receives(&push("<item jid='romeo@example.net' subscription='from' approved='true'/>"));
    romeo.receives("<presence type='subscribed' from='juliet@example.com'/>");
    romeo.receives(&push("<item jid='juliet@example.com' subscription='to'/>"));
    romeo.receives("<presence from='juliet@example.com/balcony'/>");
    world.nobody_receives_anything();
}

/// T30, §A.3: approvals that nobody asked for change nothing.
#[test]
fn an_approval_that_was_not_asked_for_is_ignored() {
    let world = World::new(Vec::new());
    world.remote_domain("capulet.example");
    let romeo = world.online("romeo@example.net/orchard");
    for kind in ["subscribed", "unsubscribed", "unsubscribe"] {
        world.remote_sends(&format!("<presence type='{kind}' from='paris@capulet.example' to='romeo@example.net'/>"));
    }
    assert_eq!(stored(&world, ROMEO), []);
    romeo.receives_nothing();
    world.nobody_receives_anything();
}

/// T23: nobody writes into another's roster, and a forged push carries the forger's address.
#[test]
fn a_roster_is_its_owners_alone() {
    let world = World::new(Vec::new());
    let (romeo, juliet) = strangers(&world);
    let query = "<query xmlns='jabber:iq:roster'><item jid='paris@example.com' subscription='both'/></query>";
    romeo.sends(&format!("<iq type='set' to='juliet@example.com' id='set'>{query}</iq>"));
    romeo.receives(&format!(
        "<iq type='error' from='juliet@example.com' id='set'>{query}<error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    ));
    romeo.sends(&format!("<iq type='set' to='juliet@example.com/balcony' id='set'>{query}</iq>"));
    juliet.receives(&format!("<iq type='set' from='romeo@example.net/orchard' id='set'>{query}</iq>"));
    assert_eq!(stored(&world, JULIET), []);
    world.nobody_receives_anything();
}

/// What can't be stored has not happened: nobody is shown anything.
#[test]
fn while_the_store_is_away_nothing_changes() {
    let world = World::new(Vec::new());
    world.befriend(ROMEO, JULIET);
    let (romeo, juliet) = strangers(&world);
    let before = stored(&world, ROMEO);
    world.store().set_away(true);
    romeo.sends(&set("<item jid='juliet@example.com' subscription='remove'/>"));
    romeo.receives(&refusal("<item jid='juliet@example.com' subscription='remove'/>", "wait", "resource-constraint"));
    romeo.sends("<presence type='unsubscribe' to='juliet@example.com' id='p'/>");
    romeo.receives(
        "<presence type='error' from='juliet@example.com' id='p'><error type='wait'>\
         <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    );
    juliet.receives_nothing();
    world.store().set_away(false);
    assert_eq!(stored(&world, ROMEO), before);
    romeo.sends("<presence/>");
    juliet.receives("<presence from='romeo@example.net/orchard'/>");
}

/// T33, T34
#[test]
fn a_roster_is_bounded_for_its_owner_and_for_strangers() {
    let settings = Settings { roster_items_max: 2, ..Settings::default() };
    let world = World::with_settings(settings, Vec::new());
    world.remote_domain("capulet.example");
    let romeo = world.online("romeo@example.net/orchard");
    for contact in ["a@example.com", "b@example.com"] {
        romeo.sends(&set(&format!("<item jid='{contact}'/>")));
    }
    world.forget_received();
    romeo.sends(&set("<item jid='c@example.com'/>"));
    romeo.receives(&refusal("<item jid='c@example.com'/>", "modify", "policy-violation"));
    romeo.sends("<presence type='subscribe' to='d@example.com' id='p'/>");
    romeo.receives(
        "<presence type='error' from='d@example.com' id='p'><error type='modify'>\
         <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    );
    for stranger in 0..5 {
        let from = format!("stranger{stranger}@capulet.example");
        world.remote_sends(&format!("<presence type='subscribe' from='{from}' to='romeo@example.net'/>"));
    }
    romeo.receives("<presence type='subscribe' from='stranger0@capulet.example'/>");
    romeo.receives("<presence type='subscribe' from='stranger1@capulet.example'/>");
    world.nobody_receives_anything();
    assert_eq!(stored(&world, ROMEO).len(), 4);
}
