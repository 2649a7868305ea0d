//! Transcripts: who sends and who receives what, as it goes over the wire. Files in `tests/transcripts`, run against every
//! kind of deployment.
//!
//! ```text
//! # RFC 6121 §8.5.3.1: a message to a full JID goes to that resource alone
//! Romeo: romeo@vesta.example/orchard
//! Juliet: juliet@vesta.example/balcony
//!
//! Romeo logs in.
//! Juliet comes online.
//! Romeo sends:
//!   <message to='juliet@vesta.example/balcony' id='1'><body>Art thou not Romeo?</body></message>
//! Juliet receives:
//!   <message from='romeo@vesta.example/orchard' id='1'><body>Art thou not Romeo?</body></message>
//! Romeo receives nothing.
//! ```
//!
//! The first line says what is shown and the section it comes from. Then come the actors with their accounts, which exist and
//! are new; in a cluster they are dealt out over the connection managers in turn. `vesta.example` stands for a virtual host
//! of the transcript's own. What happens is a line each:
//!
//! | line | meaning |
//! |---|---|
//! | `Romeo and Juliet are contacts.` | each is subscribed to the other's presence; before anybody logs in |
//! | `Romeo is subscribed to Juliet.` | Romeo sees Juliet's presence; before anybody logs in |
//! | `Romeo logs in.` | connects, secures, authenticates and binds |
//! | `Romeo comes online.` | logs in if he has not, sends initial presence, and reads past everything that comes of it |
//! | `Romeo asks for the roster.` | and receives it; from then on he is an interested resource |
//! | `Romeo connects.` | makes a TCP connection |
//! | `Romeo opens a stream.` | sends a header and receives one |
//! | `Romeo restarts the stream.` | as a client does after authentication |
//! | `Romeo secures the connection.` | opens a stream and starts TLS |
//! | `Romeo sends:` | the indented lines go out as they are, without line ends and indentation |
//! | `Romeo receives:` | these elements come next, in this order, and are equal |
//! | `Romeo receives, in any order:` | these come next |
//! | `Romeo receives at least:` | these come next, with whatever more in them |
//! | `Romeo receives nothing.` | nothing has come by the time that what everybody sends now has |
//! | `Romeo receives the header of a stream.` | |
//! | `Romeo receives the end of the stream.` | and the end of the connection behind it |
//! | `Romeo leaves.` | ends the stream and waits for the server's end |
//! | `Romeo vanishes.` | drops the connection |
//!
//! Elements are equal if names, namespaces, attributes, children and text are; the order of attributes and white space
//! between elements do not count, `to` may be left out where it is the actor's own address, and so may `xml:lang` and the id that
//! its own archive gave (XEP-0359). In values, `{name}` stands for whatever comes, and for the same from then on, in what is sent as well; `{_}` for anything.
//! In what is sent, `{plain:USER:PASSWORD}` is the initial response of SASL PLAIN, and `{a*10000}` ten thousand times `a`.

mod compare;
mod parse;
mod perform;

use std::path::Path;

pub use parse::Transcript;
pub use perform::perform;

/// All transcripts, in the order of their names.
///
/// # Panics
/// One can't be read; the message says where and why.
pub fn all() -> Vec<Transcript> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let entries = std::fs::read_dir(&directory).expect("the directory of transcripts");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "xmpp"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a plain name");
            let text = std::fs::read_to_string(path).expect("a readable file");
            Transcript::parse(name, &text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        })
        .collect()
}
