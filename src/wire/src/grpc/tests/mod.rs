//! Links and calls over real sockets on the loopback.

mod calls;
mod links;
mod routers;
mod security;
