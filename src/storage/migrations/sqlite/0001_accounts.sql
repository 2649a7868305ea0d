-- Accounts and what belongs to them. An account's row holds the counters that must only grow while what they count comes
-- and goes. Everything else hangs on it by a foreign key: when an account is removed, nothing of it stays behind.
-- JIDs are text prepared by RFC 7622, compared byte by byte. Times are milliseconds since 1970.

CREATE TABLE accounts (
    account         TEXT    NOT NULL PRIMARY KEY,
    domain          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    roster_version  INTEGER NOT NULL DEFAULT 0,
    offline_last_id INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX accounts_by_domain ON accounts (domain, account);

-- SCRAM verifiers (RFC 5802 §3), one row for each hash function. No password is kept.
CREATE TABLE credentials (
    account    TEXT    NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    hash       TEXT    NOT NULL,
    salt       BLOB    NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BLOB    NOT NULL,
    server_key BLOB    NOT NULL,
    PRIMARY KEY (account, hash)
) STRICT, WITHOUT ROWID;

-- RFC 6121 §2. `item_groups` is a JSON array of strings: groups are only ever read and written with their item.
CREATE TABLE roster_items (
    account      TEXT    NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    contact      TEXT    NOT NULL,
    name         TEXT,
    item_groups  TEXT    NOT NULL,
    subscription TEXT    NOT NULL,
    pending_out  INTEGER NOT NULL,
    pending_in   BLOB,
    approved     INTEGER NOT NULL,
    listed       INTEGER NOT NULL,
    PRIMARY KEY (account, contact)
) STRICT, WITHOUT ROWID;

-- Messages for accounts that had nobody to take them (XEP-0160).
CREATE TABLE offline_messages (
    account TEXT    NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    id      INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    stanza  BLOB    NOT NULL,
    PRIMARY KEY (account, id)
) STRICT;

-- Values of modules: vCards, private XML, last activity.
CREATE TABLE account_data (
    account TEXT NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    key     TEXT NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (account, key)
) STRICT;

-- The newest leader that has written for each shard. Every write of a shard passes here first.
CREATE TABLE fences (
    shard      INTEGER NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL,
    term       INTEGER NOT NULL
) STRICT;

-- Numbers and secrets of the deployment as a whole.
CREATE TABLE deployment_counters (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE deployment_secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
