//! XEP-0198 on a stream.

use vesta_wire::attach::{EndReason, Inbound};

use super::client::Client;
use super::router::{Router, chat};
use super::{World, run};

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn answer(handled: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>")
}

/// Juliet's stream, managed.
async fn managed(world: &World, router: &mut Router) -> Client {
    let mut juliet = world.juliet(router).await;
    juliet.send(ENABLE).await;
    juliet.expect("<enabled xmlns='urn:xmpp:sm:3'/>").await;
    juliet
}

/// P1: the count is that of what is done, not of what was read.
#[test]
fn a_stanza_is_counted_when_the_router_has_accepted_it_and_the_client_is_told_unasked() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        juliet.send(&format!("<presence/>{ENABLE}<message id='1'/><message id='2'/>{REQUEST}")).await;
        juliet.expect("<enabled xmlns='urn:xmpp:sm:3'/>").await;
        juliet.expect(&answer(0)).await;
        for _ in 0..3 {
            router.stanza(7).await;
        }
        router.accept(7, 2).await;
        juliet.expect(&answer(1)).await;
        router.accept(7, 3).await;
        juliet.expect(&answer(2)).await;
    });
}

#[test]
fn a_stanza_is_delivered_when_the_client_has_acknowledged_it() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = managed(&world, &mut router).await;
        router.deliver(7, 1, 1, chat("one")).await;
        juliet.expect("one</body></message>").await;
        juliet.expect(REQUEST).await;
        router.deliver(7, 1, 2, chat("two")).await;
        juliet.expect("two</body></message>").await;
        assert!(router.is_quiet(), "what is written is not yet delivered");
        juliet.send(&answer(1)).await;
        assert_eq!(router.delivered(7).await, 1);
        juliet.expect(REQUEST).await;
        juliet.send(&answer(2)).await;
        assert_eq!(router.delivered(7).await, 2);
    });
}

#[test]
fn a_client_that_acknowledges_too_much_loses_its_stream() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = managed(&world, &mut router).await;
        juliet.send(&answer(1)).await;
        let all = juliet.rest().await;
        assert!(all.contains("<undefined-condition "), "{all}");
        assert!(all.contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='1' send-count='0'/>"), "{all}");
        assert!(matches!(router.inbound(7).await, (1, Inbound::Ended(EndReason::Failed))));
    });
}

#[test]
fn what_comes_out_of_order_fails_and_the_stream_goes_on() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        let failed =
            "<failed xmlns='urn:xmpp:sm:3'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
        for command in [REQUEST, &answer(0), "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>"] {
            juliet.send(command).await;
            juliet.expect(failed).await;
        }
        juliet.send(&format!("{ENABLE}{ENABLE}<presence/>")).await;
        juliet.expect("<enabled xmlns='urn:xmpp:sm:3'/>").await;
        juliet.expect(failed).await;
        router.stanza(7).await;
    });
}

#[test]
fn a_client_that_closes_its_stream_is_told_the_last_count() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = managed(&world, &mut router).await;
        juliet.send("<message id='1'/></stream:stream>").await;
        assert_eq!(juliet.rest().await, format!("{}</stream:stream>", answer(0)));
    });
}
