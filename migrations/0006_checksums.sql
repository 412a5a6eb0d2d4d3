-- Checksums of the tables that had none, the device on which a root lies, and the colour profile of a picture.
--
-- mmsearch_checksum (catalog/functions.rs) computes what catalog/row.rs computes of the same values in the same order.

ALTER TABLE state ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE state SET checksum = mmsearch_checksum(id, generation, space_id);

ALTER TABLE spaces ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE spaces SET checksum = mmsearch_checksum(id, fingerprint, model, dim);

ALTER TABLE tombstones ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE tombstones SET checksum = mmsearch_checksum(embedding_id, space_id, modality, generation);

ALTER TABLE containers ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE containers SET checksum = mmsearch_checksum(path, kind, size_bytes, modified_ns, scan, complete, reason);

-- Where `index` saw the root last (st_dev): another device without any of its files is one that is not mounted.
ALTER TABLE roots ADD COLUMN device INTEGER;
ALTER TABLE roots ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE roots SET checksum = mmsearch_checksum(path, device);

-- The name of the ICC profile that a picture's numbers were meant by.
ALTER TABLE items ADD COLUMN color_profile TEXT;
-- A row that was damaged stays damaged: its checksum is not made to fit.
UPDATE items SET checksum = mmsearch_checksum(id, modality, source_kind, container, member, scan, content_hash,
    size_bytes, modified_ns, status, reason, width, height, format, orientation, taken_at, camera, latitude,
    longitude, color_profile, text, image_id, metadata, generation)
WHERE checksum = mmsearch_checksum(id, modality, source_kind, container, member, scan, content_hash,
    size_bytes, modified_ns, status, reason, width, height, format, orientation, taken_at, camera, latitude,
    longitude, text, image_id, metadata, generation);
