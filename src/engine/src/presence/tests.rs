//! RFC 6121 §4, as transcripts.

use crate::roster::{RosterItem, Subscription};
use crate::testing::World;
use vesta_xmpp::BareJid;

const ROMEO: &str = "romeo@example.net";
const JULIET: &str = "juliet@example.com";

fn friends() -> World {
    let world = World::new(Vec::new());
    world.befriend(ROMEO, JULIET);
    world
}

/// §4.2.2, §4.3.2
#[test]
fn initial_presence_is_told_and_the_contacts_presence_is_learnt() {
    let world = friends();
    let balcony = world.online("juliet@example.com/balcony");
    balcony.sends("<presence><show>away</show></presence>");
    let chamber = world.online("juliet@example.com/chamber");
    world.forget_received();

    let romeo = world.connect("romeo@example.net/orchard");
    romeo.sends("<presence><show>dnd</show></presence>");
    for juliet in [balcony, chamber] {
        juliet
            .receives("<presence from='romeo@example.net/orchard' to='juliet@example.com'><show>dnd</show></presence>");
    }
    romeo.receives("<presence from='romeo@example.net/orchard'><show>dnd</show></presence>");
    romeo.receives(
        "<presence from='juliet@example.com/balcony' to='romeo@example.net/orchard'><show>away</show></presence>",
    );
    romeo.receives("<presence from='juliet@example.com/chamber' to='romeo@example.net/orchard'/>");
    world.nobody_receives_anything();
}

/// §4.2.2: the account's own resources see each other; §4.4: they are not introduced again.
#[test]
fn resources_of_one_account_see_each_other() {
    let world = World::new(Vec::new());
    let orchard = world.connect("romeo@example.net/orchard");
    orchard.sends("<presence/>");
    orchard.receives("<presence from='romeo@example.net/orchard'/>");
    let field = world.connect("romeo@example.net/field");
    field.sends("<presence><priority>-1</priority></presence>");
    orchard.receives("<presence from='romeo@example.net/field'><priority>-1</priority></presence>");
    field.receives("<presence from='romeo@example.net/field'><priority>-1</priority></presence>");
    field.receives("<presence from='romeo@example.net/orchard'/>");
    field.sends("<presence><show>xa</show></presence>");
    for resource in [orchard, field] {
        resource.receives("<presence from='romeo@example.net/field'><show>xa</show></presence>");
    }
    world.nobody_receives_anything();
}

/// §4.5.2: at the client's word, and without it.
#[test]
fn unavailability_is_told_in_every_way_of_leaving() {
    for lost in [false, true] {
        let world = friends();
        let juliet = world.online("juliet@example.com/balcony");
        let field = world.online("romeo@example.net/field");
        let orchard = world.online("romeo@example.net/orchard");
        world.forget_received();
        if lost {
            orchard.disconnects();
        } else {
            orchard.sends("<presence type='unavailable'/>");
            orchard.receives("<presence type='unavailable' from='romeo@example.net/orchard'/>");
        }
        juliet.receives("<presence type='unavailable' from='romeo@example.net/orchard' to='juliet@example.com'/>");
        field.receives("<presence type='unavailable' from='romeo@example.net/orchard'/>");
        world.nobody_receives_anything();
        if !lost {
            orchard.disconnects();
            world.nobody_receives_anything();
        }
    }
}

#[test]
fn the_status_of_an_unavailable_presence_reaches_the_contacts() {
    let world = friends();
    let juliet = world.online("juliet@example.com/balcony");
    let romeo = world.online("romeo@example.net/orchard");
    world.forget_received();
    romeo.sends("<presence type='unavailable'><status>banished</status></presence>");
    juliet
        .receives("<presence type='unavailable' from='romeo@example.net/orchard'><status>banished</status></presence>");
}

/// §4.6: a stranger sees directed presence, and its end.
#[test]
fn directed_presence_is_remembered_and_ended() {
    for lost in [false, true] {
        let world = World::new(Vec::new());
        let juliet = world.online("juliet@example.com/balcony");
        let nurse = world.online("nurse@example.com/hall");
        let romeo = world.online("romeo@example.net/orchard");
        romeo.sends("<presence to='juliet@example.com/balcony'/>");
        romeo.sends("<presence to='nurse@example.com'/>");
        juliet.receives("<presence from='romeo@example.net/orchard' to='juliet@example.com/balcony'/>");
        nurse.receives("<presence from='romeo@example.net/orchard' to='nurse@example.com'/>");
        romeo.sends("<presence to='nurse@example.com' type='unavailable'/>");
        nurse.receives("<presence from='romeo@example.net/orchard' type='unavailable'/>");
        if lost {
            romeo.disconnects();
        } else {
            romeo.sends("<presence type='unavailable'/>");
            romeo.receives("<presence from='romeo@example.net/orchard' type='unavailable'/>");
        }
        juliet.receives("<presence from='romeo@example.net/orchard' type='unavailable'/>");
        world.nobody_receives_anything();
    }
}

/// §4.6: not told twice, though the presence went both ways.
#[test]
fn a_contact_with_directed_presence_is_told_of_the_end_once() {
    let world = friends();
    let juliet = world.online("juliet@example.com/balcony");
    let romeo = world.connect("romeo@example.net/orchard");
    romeo.sends("<presence to='juliet@example.com'><status>first to you</status></presence>");
    juliet.receives("<presence from='romeo@example.net/orchard'><status>first to you</status></presence>");
    romeo.sends("<presence/>");
    juliet.receives("<presence from='romeo@example.net/orchard'/>");
    romeo.disconnects();
    juliet.receives("<presence type='unavailable' from='romeo@example.net/orchard'/>");
    world.nobody_receives_anything();
}

#[test]
fn an_entity_that_answers_directed_presence_with_an_error_is_forgotten() {
    let world = World::new(Vec::new());
    world.remote_domain("rooms.example");
    let romeo = world.online("romeo@example.net/orchard");
    romeo.sends("<presence to='ball@rooms.example/Romeo'/>");
    assert_eq!(romeo.session().expect("bound").directed.len(), 1);
    world.remote_sends("<presence type='error' from='ball@rooms.example/Romeo' to='romeo@example.net/orchard'/>");
    romeo.receives("<presence type='error' from='ball@rooms.example/Romeo'/>");
    assert!(romeo.session().expect("bound").directed.is_empty());
}

/// §4.3.2, T31: matrix by relation.
#[test]
fn probes_are_answered_for_subscribers_only() {
    for subscription in [Subscription::None, Subscription::To, Subscription::From, Subscription::Both] {
        let world = World::new(Vec::new());
        let contact = BareJid::parse(ROMEO).expect("a JID");
        world.put_roster_item(JULIET, RosterItem { subscription, listed: true, ..RosterItem::new(contact) });
        let romeo = world.connect("romeo@example.net/orchard");
        let allowed = matches!(subscription, Subscription::From | Subscription::Both);
        let ask = |to: &str| romeo.sends(&format!("<presence type='probe' to='{to}'/>"));
        ask(JULIET);
        if allowed {
            romeo.receives("<presence type='unavailable' from='juliet@example.com' to='romeo@example.net/orchard'/>");
        }
        // The refusal, `unsubscribed`, changes nothing in a roster that knows of no subscription, and is not shown.
        romeo.receives_nothing();

        let juliet = world.online("juliet@example.com/balcony");
        juliet.sends("<presence><show>chat</show></presence>");
        world.forget_received();
        ask(JULIET);
        ask("juliet@example.com/balcony");
        ask("juliet@example.com/chamber");
        if allowed {
            for _ in 0..2 {
                romeo.receives("<presence from='juliet@example.com/balcony'><show>chat</show></presence>");
            }
            romeo.receives("<presence type='unavailable' from='juliet@example.com/chamber'/>");
        }
        world.nobody_receives_anything();
    }
}

#[test]
fn a_server_elsewhere_that_may_not_know_is_told_unsubscribed() {
    let world = World::new(Vec::new());
    world.remote_domain("capulet.example");
    world.online("romeo@example.net/orchard");
    for account in [ROMEO, "unknown@example.net"] {
        world.remote_sends(&format!("<presence type='probe' from='nurse@capulet.example/hall' to='{account}'/>"));
        world.remote_receives(&format!("<presence type='unsubscribed' from='{account}' to='nurse@capulet.example'/>"));
    }
    world.nobody_receives_anything();
}

/// §4.7.2.3
#[test]
fn a_priority_that_is_none_is_a_bad_request_and_changes_nothing() {
    let world = friends();
    let juliet = world.online("juliet@example.com/balcony");
    let romeo = world.connect("romeo@example.net/orchard");
    romeo.sends("<presence id='p'><priority>128</priority></presence>");
    romeo.receives(
        "<presence type='error' id='p'><priority>128</priority><error type='modify'>\
         <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    );
    juliet.receives_nothing();
    assert!(romeo.session().expect("bound").available.is_none());
}

#[test]
fn presence_that_can_t_be_kept_is_not_shown() {
    let busy = "<presence type='error' id='p'><error type='wait'>\
                <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>";
    let world = friends();
    let romeo = world.connect("romeo@example.net/orchard");
    world.online("juliet@example.com/balcony");
    world.set_undecided(true);
    romeo.sends("<presence id='p'/>");
    romeo.receives(busy);
    romeo.sends("<presence id='p' to='nurse@example.com'/>");
    romeo.receives(&busy.replace("type='error'", "type='error' from='nurse@example.com'"));
    world.set_undecided(false);

    world.forget_caches();
    world.store().set_away(true);
    romeo.sends("<presence id='p'/>");
    romeo.receives(busy);
    world.nobody_receives_anything();
    world.store().set_away(false);
    romeo.sends("<presence id='p'/>");
    romeo.receives("<presence from='romeo@example.net/orchard' id='p'/>");
}

/// §8.5.2.1.2
#[test]
fn presence_to_the_bare_jid_reaches_every_available_resource() {
    let world = World::new(Vec::new());
    let balcony = world.connect("juliet@example.com/balcony");
    balcony.sends("<presence><priority>-1</priority></presence>");
    let merely_connected = world.connect("juliet@example.com/attic");
    let romeo = world.online("romeo@example.net/orchard");
    romeo.sends("<presence to='juliet@example.com'/>");
    balcony.receives("<presence from='romeo@example.net/orchard'/>");
    merely_connected.receives_nothing();
    romeo.sends("<presence to='juliet@example.com/attic'/>");
    merely_connected.receives("<presence from='romeo@example.net/orchard'/>");
    world.nobody_receives_anything();
}

/// A session's end is told even while the store is away and the roster is in doubt.
#[test]
fn unavailability_is_told_while_the_store_is_away() {
    let world = friends();
    let juliet = world.online("juliet@example.com/balcony");
    let romeo = world.online("romeo@example.net/orchard");
    world.forget_received();
    world.store().set_away(true);
    romeo.sends("<presence type='unsubscribe' to='juliet@example.com'/>");
    romeo.disconnects();
    juliet.receives("<presence type='unavailable' from='romeo@example.net/orchard'/>");
    world.nobody_receives_anything();
}
