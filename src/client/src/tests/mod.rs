//! Transcripts: a scripted server at the other end of a pipe, and a login against the receiving side of `vesta-xmpp`.

mod archive;
mod login;
mod messages;
mod resumption;
mod server;
mod session;
mod silence;
