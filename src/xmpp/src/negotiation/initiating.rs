//! The initiating entity's side: a client that connects.
