-- The least version of the next own statement of a kind: the device before a restored one may have made some that are not in
-- its backup, and contacts ignore what is not newer than those.
ALTER TABLE practice ADD COLUMN versions_from INTEGER NOT NULL DEFAULT 0;
