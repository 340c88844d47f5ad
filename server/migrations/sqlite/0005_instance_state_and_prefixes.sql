-- What the console remembers about itself, by name.
CREATE TABLE instance_state (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

-- 1 once there has been an account: from then on no visitor may create the first one.
INSERT INTO instance_state (name, value)
SELECT 'had-account', 1 WHERE EXISTS (SELECT 1 FROM accounts);

-- When the clock was last found to be right, in milliseconds: the latest time that this database knows of.
INSERT INTO instance_state (name, value)
SELECT 'clock-checked-at', at
FROM (SELECT MAX(at) AS at FROM (SELECT MAX(at) AS at FROM activity
                                 UNION ALL SELECT MAX(last_seen_at) FROM sessions
                                 UNION ALL SELECT MAX(last_at) FROM api_key_last_uses))
WHERE at IS NOT NULL;

-- The prefixes that secrets of this database were generated with.
CREATE TABLE key_prefixes (
    prefix TEXT NOT NULL PRIMARY KEY
) STRICT;

-- The prefix of each secret. Empty until the server first starts with this version: it was whatever --key-prefix says.
ALTER TABLE api_keys ADD COLUMN prefix TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN old_prefix TEXT NOT NULL DEFAULT '';
