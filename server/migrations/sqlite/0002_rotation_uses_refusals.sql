-- The secret whose place another has taken. Until its grace ends it works too; afterwards it tells its owner
-- why a program that still has it is refused.
ALTER TABLE api_keys ADD COLUMN old_digest BLOB;
ALTER TABLE api_keys ADD COLUMN old_last_four TEXT;
-- NULL: there is no old secret.
ALTER TABLE api_keys ADD COLUMN old_until INTEGER;
-- 1: the old secret also ends when the new one is first used.
ALTER TABLE api_keys ADD COLUMN old_ends_on_use INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX api_keys_by_old_digest ON api_keys (old_digest);

-- When and by whom a key was last used; what api_keys had of it moves here. A table of its own: its rows are small and
-- lie together, while those of api_keys are large and lie far apart, which made each note write a page of its own.
CREATE TABLE api_key_last_uses (
    key_id  TEXT    NOT NULL PRIMARY KEY REFERENCES api_keys (id) ON DELETE CASCADE,
    last_at INTEGER NOT NULL,
    address TEXT    NOT NULL,
    agent   TEXT    NOT NULL
) STRICT;

INSERT INTO api_key_last_uses (key_id, last_at, address, agent)
SELECT id, last_used_at, COALESCE(last_used_from, ''), '' FROM api_keys WHERE last_used_at IS NOT NULL;
ALTER TABLE api_keys DROP COLUMN last_used_at;
ALTER TABLE api_keys DROP COLUMN last_used_from;

-- Who used a key, day by day.
CREATE TABLE api_key_uses (
    key_id  TEXT    NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    -- Days since 1970-01-01.
    day     INTEGER NOT NULL,
    -- Both empty: others, beyond those that are counted one by one.
    address TEXT    NOT NULL,
    agent   TEXT    NOT NULL,
    uses    INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (key_id, day, address, agent)
) STRICT;

CREATE INDEX api_key_uses_by_day ON api_key_uses (day);

-- Requests that named a key and were refused.
CREATE TABLE api_key_refusals (
    key_id  TEXT    NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    address TEXT    NOT NULL,
    agent   TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    times   INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (key_id, address, agent, reason)
) STRICT;

CREATE INDEX api_key_refusals_by_time ON api_key_refusals (last_at);
