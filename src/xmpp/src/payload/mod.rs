//! Typed payloads, one file per specification, for what somebody has to read or build: the server's modules and the
//! client library share them.
