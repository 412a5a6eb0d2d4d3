-- What images are said to show, beside the captions of manifests, which are items.

CREATE TABLE descriptions (
    item_id INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    -- Who says so: the image's own file, or the text beside it.
    origin TEXT NOT NULL CHECK (origin IN ('file', 'sidecar')),
    text TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (item_id, origin)
) STRICT, WITHOUT ROWID;
