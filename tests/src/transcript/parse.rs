//! From a transcript's text to its steps.

use vesta_xmpp::{Element, ns};

use crate::deployment::DOMAIN;

/// A transcript.
#[derive(Debug)]
pub struct Transcript {
    /// The file's name without its ending.
    pub name: String,
    /// What is shown, and the section that it comes from.
    pub title: String,
    /// The virtual host that it has to itself.
    pub host: String,
    pub(super) actors: Vec<Actor>,
    pub(super) steps: Vec<Step>,
}

/// Whoever plays a part.
#[derive(Debug)]
pub(super) struct Actor {
    pub name: String,
    /// A full JID.
    pub address: String,
}

/// Something that an actor does or sees.
#[derive(Debug)]
pub(super) struct Step {
    /// The line in the file.
    pub line: usize,
    /// Who, as an index.
    pub actor: usize,
    pub action: Action,
}

/// What an actor does or sees.
#[derive(Debug)]
pub(super) enum Action {
    Connect,
    Open,
    Restart,
    Secure,
    LogIn,
    ComeOnline,
    AskForRoster,
    Send(String),
    Receive(Vec<Element>, Manner),
    ReceiveNothing,
    ReceiveHeader,
    ReceiveEnd,
    Leave,
    Vanish,
    /// Is subscribed to the other; the other to this one, too, if `mutual`.
    Subscribe {
        other: usize,
        mutual: bool,
    },
}

/// How what comes is compared with what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Equal,
    AnyOrder,
    AtLeast,
}

impl Transcript {
    /// Reads a transcript.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let host = format!("{}.{DOMAIN}", name.replace('_', "-"));
        let text = text.replace(DOMAIN, &host);
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line)).peekable();
        let title = lines.next().and_then(|(_, line)| line.strip_prefix("# "));
        let title = title.ok_or("the first line must be `# what is shown, and its section`")?.to_owned();
        let mut transcript = Self { name: name.into(), title, host, actors: Vec::new(), steps: Vec::new() };
        while let Some((line, sentence)) = lines.next() {
            if sentence.trim().is_empty() || sentence.starts_with('#') {
                continue;
            }
            let mut block = Vec::new();
            while let Some((_, xml)) = lines.next_if(|(_, line)| line.starts_with(' ')) {
                block.push(xml.trim());
            }
            transcript.add(line, sentence, &block).map_err(|error| format!("line {line}: {error}"))?;
        }
        Ok(transcript)
    }

    fn add(&mut self, line: usize, sentence: &str, block: &[&str]) -> Result<(), String> {
        let (subject, rest) = sentence.split_once(' ').ok_or("no sentence")?;
        if let Some(name) = subject.strip_suffix(':') {
            self.actors.push(Actor { name: name.into(), address: rest.trim().into() });
            return Ok(());
        }
        let actor = self.actor(subject)?;
        let action = match (rest, block) {
            ("sends:", [_, ..]) => Action::Send(block.concat()),
            ("receives:", [_, ..]) => Action::Receive(elements(block)?, Manner::Equal),
            ("receives, in any order:", [_, ..]) => Action::Receive(elements(block)?, Manner::AnyOrder),
            ("receives at least:", [_, ..]) => Action::Receive(elements(block)?, Manner::AtLeast),
            (_, []) => self.plain_action(rest)?,
            _ => return Err(format!("{sentence:?} and what is indented behind it make no sense")),
        };
        self.steps.push(Step { line, actor, action });
        Ok(())
    }

    fn plain_action(&self, predicate: &str) -> Result<Action, String> {
        let subscribe = |name: &str, mutual| Ok(Action::Subscribe { other: self.actor(name)?, mutual });
        match predicate {
            "connects." => Ok(Action::Connect),
            "opens a stream." => Ok(Action::Open),
            "restarts the stream." => Ok(Action::Restart),
            "asks for the roster." => Ok(Action::AskForRoster),
            "secures the connection." => Ok(Action::Secure),
            "logs in." => Ok(Action::LogIn),
            "comes online." => Ok(Action::ComeOnline),
            "receives nothing." => Ok(Action::ReceiveNothing),
            "receives the header of a stream." => Ok(Action::ReceiveHeader),
            "receives the end of the stream." => Ok(Action::ReceiveEnd),
            "leaves." => Ok(Action::Leave),
            "vanishes." => Ok(Action::Vanish),
            other => {
                let between = |before, after| other.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                if let Some(name) = between("and ", " are contacts.") {
                    subscribe(name, true)
                } else if let Some(name) = between("is subscribed to ", ".") {
                    subscribe(name, false)
                } else {
                    Err(format!("nobody knows how to {predicate:?}"))
                }
            }
        }
    }

    fn actor(&self, name: &str) -> Result<usize, String> {
        self.actors.iter().position(|actor| actor.name == name).ok_or_else(|| format!("who is {name}?"))
    }

    /// The accounts that must exist, as bare JIDs, each once.
    pub fn accounts(&self) -> Vec<&str> {
        let bare = |actor: &Actor| actor.address.split('/').next().map(str::len).unwrap_or_default();
        let mut accounts: Vec<_> = self.actors.iter().map(|actor| &actor.address[..bare(actor)]).collect();
        accounts.sort_unstable();
        accounts.dedup();
        accounts
    }
}

/// Elements as they stand in a stream of a client.
fn elements(block: &[&str]) -> Result<Vec<Element>, String> {
    let stream = format!(
        "<stream:stream xmlns='{}' xmlns:stream='{}'>{}</stream:stream>",
        ns::CLIENT,
        ns::STREAM,
        block.join("\n")
    );
    let stream = Element::parse(stream.as_bytes()).map_err(|error| format!("{error:?}"))?;
    Ok(stream.children().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "# RFC 0 §1: something\nRomeo: romeo@vesta.example/a\n\nRomeo logs in.\nRomeo sends:\n  <a/>\n  <b/>\n";

    #[test]
    fn a_transcript_has_a_title_actors_and_steps() {
        let transcript = Transcript::parse("rfc0_1", GOOD).expect("it is well formed");
        assert_eq!(transcript.title, "RFC 0 §1: something");
        assert_eq!(transcript.accounts(), ["romeo@rfc0-1.vesta.example"]);
        assert!(matches!(transcript.steps[0].action, Action::LogIn));
        assert!(matches!(&transcript.steps[1].action, Action::Send(xml) if xml == "<a/><b/>"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, error) in [
            ("Romeo: a@b/c", "the first line must be"),
            ("# t\nRomeo: a@b/c\nJuliet logs in.", "line 3: who is Juliet?"),
            ("# t\nRomeo: a@b/c\nRomeo sulks.", "line 3: nobody knows how to \"sulks.\""),
            ("# t\nRomeo: a@b/c\nRomeo receives:\n  <a>", "line 3: "),
        ] {
            let said = Transcript::parse("t", text).expect_err("it is wrong");
            assert!(said.starts_with(error), "{said}");
        }
    }
}
