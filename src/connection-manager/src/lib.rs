//! The tier that holds sockets: listeners, TLS, streams, limits
