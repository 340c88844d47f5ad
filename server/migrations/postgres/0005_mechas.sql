-- Named actors of an account, each with its own keys.
CREATE TABLE mechas (
    id          TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    account_id  TEXT   COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL,
    -- The name as it is compared: Unicode case folding, NFD.
    name_folded TEXT   NOT NULL,
    description TEXT   NOT NULL,
    -- 0: all its keys are denied.
    active      BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    UNIQUE (account_id, name_folded)
);

-- The Mecha that owns the key; NULL: the account itself. `name_folded` of its keys begins with its id and a slash, so that
-- names are unique per owner. Ids begin with a digit, and names with a letter.
ALTER TABLE api_keys ADD COLUMN mecha_id TEXT COLLATE "C" REFERENCES mechas (id) ON DELETE CASCADE;
CREATE INDEX api_keys_of_mecha ON api_keys (mecha_id) WHERE mecha_id IS NOT NULL;

-- The Mecha of the action, by its name at the time; both empty if there is none.
ALTER TABLE activity ADD COLUMN mecha_id TEXT NOT NULL DEFAULT '';
ALTER TABLE activity ADD COLUMN mecha_name TEXT NOT NULL DEFAULT '';
