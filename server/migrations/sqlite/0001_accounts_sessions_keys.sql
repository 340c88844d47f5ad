-- Moments are milliseconds since 1970-01-01T00:00:00Z. Ids are UUIDs as 32 hex digits.

CREATE TABLE accounts (
    id            TEXT    NOT NULL PRIMARY KEY,
    email         TEXT    NOT NULL,
    -- The address as it is compared: Unicode case folding, NFD.
    email_folded  TEXT    NOT NULL UNIQUE,
    -- PHC string format, argon2id.
    password_hash TEXT    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    -- SHA-256 of the id in the cookie: the table, seized, signs nobody in.
    id_hash      BLOB    NOT NULL PRIMARY KEY,
    account_id   TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_of_account ON sessions (account_id);

CREATE TABLE api_keys (
    id            TEXT    NOT NULL PRIMARY KEY,
    account_id    TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name          TEXT    NOT NULL,
    -- The name as it is compared: Unicode case folding, NFD.
    name_folded   TEXT    NOT NULL,
    description   TEXT    NOT NULL,
    -- SHA-256 of the whole secret.
    secret_digest BLOB    NOT NULL UNIQUE,
    -- The last four characters of the secret, for its owner to know it by.
    last_four     TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    -- NULL: never.
    expires_at    INTEGER,
    -- NULL: never.
    last_used_at  INTEGER,
    -- The address that it was last used from.
    last_used_from TEXT,
    -- 1: let in. 0: refused until switched on again.
    active        INTEGER NOT NULL DEFAULT 1,
    UNIQUE (account_id, name_folded)
) STRICT;

CREATE INDEX api_keys_by_expiry ON api_keys (expires_at);
