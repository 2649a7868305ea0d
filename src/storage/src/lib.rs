//! The engine's store ports on SQL: SQLite and PostgreSQL
