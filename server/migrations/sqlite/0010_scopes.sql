-- The scopes that the key is restricted to, separated by spaces; NULL: it has access to everything.
ALTER TABLE api_keys ADD COLUMN scopes TEXT CHECK (trim(scopes) <> '' AND length(scopes) <= 60000);
