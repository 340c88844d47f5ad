-- Connections of runtimes: those that are connected, and those that have ended.
CREATE TABLE runtimes (
    id            TEXT    NOT NULL PRIMARY KEY,
    account_id    TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    mecha_id      TEXT    NOT NULL REFERENCES mechas (id) ON DELETE CASCADE,
    -- No reference: the history outlives the key.
    key_id        TEXT    NOT NULL,
    key_name      TEXT    NOT NULL,
    -- SHA-256 of the secret that the runtime presented.
    secret_digest BLOB    NOT NULL,
    -- SHA-256 of the instance that the runtime states; empty for an attempt without a hello.
    instance_hash BLOB    NOT NULL,
    -- The node that holds the connection.
    node          TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    os            TEXT    NOT NULL,
    arch          TEXT    NOT NULL,
    host          TEXT    NOT NULL,
    -- The actions that the runtime offers, separated by spaces.
    actions       TEXT    NOT NULL,
    address       TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    note          TEXT    NOT NULL,
    round_trip    INTEGER,
    connected_at  INTEGER NOT NULL,
    ended_at      INTEGER,
    end_reason    TEXT    NOT NULL
) STRICT;

-- Of several connections of one instance, one survives.
CREATE UNIQUE INDEX runtimes_instance ON runtimes (key_id, instance_hash) WHERE ended_at IS NULL;
CREATE INDEX runtimes_of_mecha ON runtimes (mecha_id, ended_at);
CREATE INDEX runtimes_of_account ON runtimes (account_id);
CREATE INDEX runtimes_of_node ON runtimes (node) WHERE ended_at IS NULL;

-- What owners asked of connected runtimes. The node that holds the connection executes it.
CREATE TABLE runtime_commands (
    id         TEXT    NOT NULL PRIMARY KEY,
    runtime_id TEXT    NOT NULL REFERENCES runtimes (id) ON DELETE CASCADE,
    node       TEXT    NOT NULL,
    command    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    -- 1: the node has executed it.
    done       INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX runtime_commands_of_node ON runtime_commands (node) WHERE done = 0;
CREATE INDEX runtime_commands_of_runtime ON runtime_commands (runtime_id);
