-- Requests with a key per day, of all clients together: the key list shows them.
CREATE TABLE api_key_days (
    key_id  TEXT    NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    -- Days since 1970-01-01.
    day     INTEGER NOT NULL,
    allowed INTEGER NOT NULL,
    denied  INTEGER NOT NULL,
    PRIMARY KEY (key_id, day)
) STRICT, WITHOUT ROWID;

CREATE INDEX api_key_days_by_day ON api_key_days (day);

-- Denied requests of the past count on the day of the last one.
INSERT INTO api_key_days (key_id, day, allowed, denied)
SELECT key_id, day, SUM(allowed), SUM(denied) FROM (
    SELECT key_id, day, uses AS allowed, 0 AS denied FROM api_key_uses
    UNION ALL
    SELECT key_id, last_at / 86400000, 0, times FROM api_key_refusals
) AS days GROUP BY key_id, day;

-- The `User-Agent` of the client; empty for commands on the server, and for entries of earlier versions.
ALTER TABLE activity ADD COLUMN agent TEXT NOT NULL DEFAULT '';

CREATE INDEX activity_of_key ON activity (account_id, key_id, id);
