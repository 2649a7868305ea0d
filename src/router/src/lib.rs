//! The session-routing tier: shards, sessions, delivery
