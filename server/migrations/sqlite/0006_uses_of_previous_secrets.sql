-- When the key got its current secret; NULL if it was never rotated. Uses before that time were of the previous secret.
ALTER TABLE api_keys ADD COLUMN rotated_at INTEGER;
-- For keys that are being rotated, all uses so far count as uses of the previous secret: nobody retires it by mistake.
UPDATE api_keys SET rotated_at = CAST(unixepoch('now') AS INTEGER) * 1000 WHERE old_until IS NOT NULL;

-- The last use of the previous secret.
ALTER TABLE api_key_last_uses ADD COLUMN previous_last_at INTEGER;
ALTER TABLE api_key_last_uses ADD COLUMN previous_address TEXT;
ALTER TABLE api_key_last_uses ADD COLUMN previous_agent TEXT;
