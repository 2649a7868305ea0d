-- The message log: what an archive shows (XEP-0313) and what waits for a client (XEP-0160), one row for each owner.

-- An account's log. Its number stands in every row of the log and is never given again, so that an account which is made
-- anew finds nothing of the one before. When the account is removed its log stays without one, out of everybody's reach, and is
-- taken away in small steps: a removal must not hold up the writes of others for as long as a million rows take.
-- `last_id` is raised when the newest entry is taken away: the last id ever given is the greater of both.
CREATE TABLE logs (
    number  INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    account TEXT    UNIQUE REFERENCES accounts (account) ON DELETE SET NULL,
    last_id INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO logs (account) SELECT account FROM accounts ORDER BY account;

-- An id is the time in milliseconds since 1970, shifted by 20 bits, and a counter: the time needs no column. The table has a
-- rowid so that rows lie in the order in which they came: a batch then fills few pages, while rows in the order of their key would
-- change a page each (measured: three times the CPU, five times the bytes).
-- `peer_hash` is of the bare JID, see `log/peer.rs`. The marks are not unique here, which would cost two more indexes: a shard's
-- leader is the only writer, has read the newest ones before it writes, and refuses what comes again.
CREATE TABLE log_entries (
    owner     INTEGER NOT NULL,
    id        INTEGER NOT NULL,
    peer_hash INTEGER NOT NULL,
    peer      TEXT    NOT NULL,
    ingress   BLOB,
    origin    BLOB,
    archived  INTEGER NOT NULL,
    waiting   INTEGER NOT NULL,
    stanza    BLOB    NOT NULL,
    PRIMARY KEY (owner, id)
) STRICT;

CREATE INDEX log_entries_by_peer ON log_entries (owner, peer_hash, id);
CREATE INDEX log_entries_waiting ON log_entries (owner, id) WHERE waiting;

-- The offline messages of before wait in the log, in their order. Their times may have gone back while their ids grew: a time
-- counts as the greatest so far. Whom they came from stands in their stanzas alone, and only an archive is asked by that.
INSERT INTO log_entries (owner, id, peer_hash, peer, archived, waiting, stanza)
SELECT l.number,
       ((MAX(m.at) OVER earlier) << 20) + (ROW_NUMBER() OVER earlier) - 1,
       0, m.account, 0, 1, m.stanza
FROM offline_messages m JOIN logs l ON l.account = m.account
WINDOW earlier AS (PARTITION BY m.account ORDER BY m.id);

DROP TABLE offline_messages;
ALTER TABLE accounts DROP COLUMN offline_last_id;

-- What the planner is to think of the indexes: an archive is long, a contact has a small part of it, little waits. Without this it
-- looks for a contact's messages all through the archive.
ANALYZE log_entries;
DELETE FROM sqlite_stat1 WHERE tbl = 'log_entries';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('log_entries', 'sqlite_autoindex_log_entries_1', '10000000 1000 1'),
    ('log_entries', 'log_entries_by_peer', '10000000 1000 20 1'),
    ('log_entries', 'log_entries_waiting', '10000 10 1');
