-- Who did what to an account and its keys, for its owner to read.
CREATE TABLE activity (
    -- In the order in which it was done.
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    account_id TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    at         INTEGER NOT NULL,
    -- Such as "key-renamed".
    what       TEXT    NOT NULL,
    -- The key, by its name at the time; empty if it was done to the account.
    key_id     TEXT    NOT NULL,
    key_name   TEXT    NOT NULL,
    -- What it became: a name, a moment, a grace time. Never a secret.
    became     TEXT    NOT NULL,
    -- Where it was done from; empty: on the server itself.
    address    TEXT    NOT NULL
) STRICT;

CREATE INDEX activity_of_account ON activity (account_id, id);
CREATE INDEX activity_of_account_by_kind ON activity (account_id, what, at);
CREATE INDEX activity_by_time ON activity (at);

-- Nothing of it changes, and nothing goes before its year is over, but with the whole account. Judged by the
-- database's own clock: no defect of the server can tidy up behind itself.
CREATE TRIGGER activity_is_never_changed BEFORE UPDATE ON activity
BEGIN
    SELECT RAISE(ABORT, 'activity is never changed');
END;

-- REPLACE deletes without the trigger for deletions.
CREATE TRIGGER activity_is_never_replaced BEFORE INSERT ON activity
WHEN EXISTS (SELECT 1 FROM activity WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'activity is never changed');
END;

CREATE TRIGGER activity_is_kept_for_a_year BEFORE DELETE ON activity
WHEN OLD.at > (unixepoch('now') - 365 * 86400) * 1000
     AND EXISTS (SELECT 1 FROM accounts WHERE id = OLD.account_id)
BEGIN
    SELECT RAISE(ABORT, 'activity is kept for a year');
END;

-- How often the password was changed: a session begins only if the password that was given still is the password.
ALTER TABLE accounts ADD COLUMN password_version INTEGER NOT NULL DEFAULT 0;

-- What a session began on, for its owner to know it by.
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN agent TEXT NOT NULL DEFAULT '';
