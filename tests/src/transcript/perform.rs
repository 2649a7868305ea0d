//! A transcript, performed on a deployment.

use std::panic::AssertUnwindSafe;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use vesta_xmpp::{Element, ns};

use super::compare::{Bindings, Comparison};
use super::parse::{Action, Manner, Step, Transcript};
use crate::deployment::Access;
use crate::player::{Incoming, Player, subscribe};

/// Performs a transcript. Its virtual host is served.
///
/// # Panics
/// Something else happens than it says. The message names file and line.
pub async fn perform(transcript: &Transcript, access: &Access) {
    for account in transcript.accounts() {
        access.add_user(account).await;
    }
    let players = transcript.actors.iter().enumerate();
    let players = players.map(|(index, actor)| Player::new(&actor.name, access.client(&actor.address, index)));
    let mut performance = Performance { players: players.collect(), bindings: Bindings::default(), markers: 0 };
    for step in &transcript.steps {
        let place = format!("{}.xmpp:{}", transcript.name, step.line);
        Place(place).watch(performance.step(step)).await;
    }
}

/// Where in a transcript we are: told when a step panics.
struct Place(String);

impl Place {
    async fn watch(self, step: impl Future<Output = ()>) {
        let mut step = std::pin::pin!(step);
        std::future::poll_fn(|context| {
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| step.as_mut().poll(context)));
            polled.unwrap_or_else(|panic| {
                eprintln!("{}: the step above failed", self.0);
                std::panic::resume_unwind(panic)
            })
        })
        .await;
    }
}

struct Performance {
    players: Vec<Player>,
    bindings: Bindings,
    /// How many markers were sent.
    markers: u32,
}

impl Performance {
    async fn step(&mut self, step: &Step) {
        let player = &mut self.players[step.actor];
        match &step.action {
            Action::Connect => player.connect().await,
            Action::Open => player.open().await,
            Action::Restart => {
                player.stream().restart();
                player.open().await;
            }
            Action::Secure => player.secure().await,
            Action::LogIn => player.log_in().await,
            Action::ComeOnline => {
                player.come_online().await;
                self.settle(step.actor, |_, _| {}).await;
            }
            Action::AskForRoster => {
                player.ask("type='get'", &format!("<query xmlns='{}'/>", ns::ROSTER)).await;
            }
            Action::Send(xml) => player.send(&expand(&self.bindings.fill(xml))).await,
            Action::Receive(expected, manner) => self.receive(step.actor, expected, *manner).await,
            Action::ReceiveNothing => self.receive_nothing(step.actor).await,
            Action::ReceiveHeader => match player.receive().await {
                Incoming::Header { .. } => {}
                other => panic!("{} wanted a stream's header and got {}", player.name, shown(&other)),
            },
            Action::ReceiveEnd => {
                for end in [Incoming::StreamEnd, Incoming::ConnectionEnd] {
                    let incoming = player.receive().await;
                    assert!(incoming == end, "{} wanted {end:?} and got {}", player.name, shown(&incoming));
                }
                player.vanish();
            }
            Action::Leave => player.leave().await,
            Action::Vanish => player.vanish(),
            Action::Subscribe { other, mutual } => {
                let (one, other) = (&self.players[step.actor].config, &self.players[*other].config);
                subscribe(one, other, *mutual).await;
            }
        }
    }

    async fn receive(&mut self, actor: usize, expected: &[Element], manner: Manner) {
        let player = &mut self.players[actor];
        let own = player.is_bound().then(|| player.address().to_owned());
        let comparison = Comparison { at_least: manner == Manner::AtLeast, own: own.as_deref() };
        let mut left: Vec<_> = expected.iter().collect();
        while !left.is_empty() {
            let candidates = if manner == Manner::AnyOrder { &left[..] } else { &left[..1] };
            let actual = match player.receive().await {
                Incoming::Element(element) => element,
                other => panic!("{} wanted\n  {}\nand got {other:?}", player.name, list(candidates)),
            };
            let found = candidates.iter().position(|it| comparison.matches(it, &actual, &mut self.bindings));
            match found {
                Some(index) => drop(left.remove(index)),
                None => panic!("{} wanted\n  {}\nand got\n  {}", player.name, list(candidates), xml(&actual)),
            }
        }
    }

    async fn receive_nothing(&mut self, actor: usize) {
        let unwanted = |name: &str, incoming: &Incoming| panic!("{name} wanted nothing and got {}", shown(incoming));
        self.settle(actor, unwanted).await;
    }

    /// Reads until all has come to an actor that anybody has sent by now; `unwanted` is told what that is.
    ///
    /// Whoever is online sends something, each account is asked something, and so is the actor's own: what was sent before has
    /// come when that has. The order between two addresses is promised (RFC 6120 §10.1).
    async fn settle(&mut self, actor: usize, unwanted: impl Fn(&str, &Incoming)) {
        self.markers += 1;
        let address = self.players[actor].address().to_owned();
        let mut wanted = Vec::new();
        for index in 0..self.players.len() {
            let id = format!("marker-{}-{index}", self.markers);
            let player = &mut self.players[index];
            if index != actor && player.is_bound() {
                let marker = format!("<message type='headline' to='{address}' id='{id}'><body>marker</body></message>");
                player.send(&marker).await;
                wanted.push(id.clone());
            }
            let account = player.config.account.clone();
            let id = format!("{id}-asked");
            let question = format!("<iq type='get' to='{account}' id='{id}'><ping xmlns='{}'/></iq>", ns::PING);
            self.players[actor].send(&question).await;
            wanted.push(id);
        }
        let player = &mut self.players[actor];
        while !wanted.is_empty() {
            let incoming = player.receive().await;
            let found = match &incoming {
                Incoming::Element(it) => wanted.iter().position(|id| it.attribute("id") == Some(id)),
                Incoming::Header { .. } => None,
                end => panic!("{} is gone: {end:?}", player.name),
            };
            match found {
                Some(index) => drop(wanted.remove(index)),
                None => unwanted(&player.name, &incoming),
            }
        }
    }
}

/// Writes out `{plain:USER:PASSWORD}` and `{text*COUNT}`.
fn expand(text: &str) -> String {
    let Some((before, rest)) = text.split_once('{') else { return text.to_owned() };
    let Some((inside, after)) = rest.split_once('}') else { return text.to_owned() };
    let value = if let Some(credentials) = inside.strip_prefix("plain:") {
        BASE64_STANDARD.encode(format!("\0{}", credentials.replace(':', "\0")))
    } else if let Some((repeated, count)) = inside.rsplit_once('*') {
        repeated.repeat(count.parse().expect("a count"))
    } else {
        panic!("{{{inside}}} stands for nothing yet")
    };
    format!("{before}{value}{}", expand(after))
}

fn xml(element: &Element) -> String {
    String::from_utf8_lossy(&element.to_bytes(ns::CLIENT)).into_owned()
}

fn list(elements: &[&Element]) -> String {
    elements.iter().map(|it| xml(it)).collect::<Vec<_>>().join("\n  ")
}

fn shown(incoming: &Incoming) -> String {
    match incoming {
        Incoming::Element(element) => xml(element),
        other => format!("{other:?}"),
    }
}
