-- Where other nodes reach a node, to forward requests to the runtimes that are connected to it; empty: they do not.
ALTER TABLE nodes ADD COLUMN url TEXT NOT NULL DEFAULT '';
-- SHA-256 of the secret with which the node authenticates at other nodes. The secret is in its memory only.
ALTER TABLE nodes ADD COLUMN secret_hash BYTEA NOT NULL DEFAULT '';
