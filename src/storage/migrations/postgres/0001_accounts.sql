-- Accounts and what belongs to them. An account's row holds the counters that must only grow while what they count comes
-- and goes. Everything else hangs on it by a foreign key: when an account is removed, nothing of it stays behind.
-- JIDs are text prepared by RFC 7622, compared byte by byte. Times are milliseconds since 1970.

CREATE TABLE accounts (
    account         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    domain          TEXT COLLATE "C" NOT NULL,
    created_at      BIGINT NOT NULL,
    roster_version  BIGINT NOT NULL DEFAULT 0,
    offline_last_id BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX accounts_by_domain ON accounts (domain, account);

-- SCRAM verifiers (RFC 5802 §3), one row for each hash function. No password is kept.
CREATE TABLE credentials (
    account    TEXT COLLATE "C" NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    hash       TEXT   NOT NULL,
    salt       BYTEA  NOT NULL,
    iterations BIGINT NOT NULL,
    stored_key BYTEA  NOT NULL,
    server_key BYTEA  NOT NULL,
    PRIMARY KEY (account, hash)
);

-- RFC 6121 §2. `item_groups` is a JSON array of strings: groups are only ever read and written with their item.
CREATE TABLE roster_items (
    account      TEXT COLLATE "C" NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    contact      TEXT COLLATE "C" NOT NULL,
    name         TEXT,
    item_groups  TEXT    NOT NULL,
    subscription TEXT    NOT NULL,
    pending_out  BOOLEAN NOT NULL,
    pending_in   BYTEA,
    approved     BOOLEAN NOT NULL,
    listed       BOOLEAN NOT NULL,
    PRIMARY KEY (account, contact)
);

-- Messages for accounts that had nobody to take them (XEP-0160).
CREATE TABLE offline_messages (
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    id      BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    stanza  BYTEA  NOT NULL,
    PRIMARY KEY (account, id)
);

-- Values of modules: vCards, private XML, last activity.
CREATE TABLE account_data (
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    key     TEXT COLLATE "C" NOT NULL,
    value   BYTEA NOT NULL,
    PRIMARY KEY (account, key)
);

-- The newest leader that has written for each shard. Every write of a shard passes here first, so that the rows change all
-- the time: with room in their pages a change stays within the page and touches no index.
CREATE TABLE fences (
    shard      BIGINT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL,
    term       BIGINT NOT NULL
) WITH (fillfactor = 20);

-- Numbers and secrets of the deployment as a whole.
CREATE TABLE deployment_counters (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE deployment_secrets (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);
