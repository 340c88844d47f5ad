-- 1: the grace of the old secret was ended, rather than that it runs out: it is over whatever clock is asked.
ALTER TABLE api_keys ADD COLUMN old_ended INTEGER NOT NULL DEFAULT 0;
UPDATE api_keys SET old_ended = 1 WHERE old_until <= unixepoch('now') * 1000;
