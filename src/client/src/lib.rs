//! An asynchronous XMPP client library
