-- The catalog, version 1. Appended to by later files, never edited.
--
-- Paths are BLOBs because a path is bytes. Checksums cover every other column of their row (catalog/row.rs).
-- An item meets its embedding by (modality, content_hash); the embedding's id is its key in every index.

CREATE TABLE spaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint TEXT NOT NULL UNIQUE,
    model TEXT NOT NULL,
    dim INTEGER NOT NULL CHECK (dim > 0)
) STRICT;

CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    space_id INTEGER REFERENCES spaces (id)
) STRICT;

INSERT INTO state (id, generation, space_id) VALUES (1, 0, NULL);

CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    modality TEXT NOT NULL CHECK (modality IN ('image', 'text')),
    source_kind TEXT NOT NULL CHECK (source_kind IN ('file', 'tar', 'manifest', 'inline')),
    container BLOB NOT NULL,
    member BLOB NOT NULL,
    scan INTEGER NOT NULL,
    content_hash BLOB CHECK (length(content_hash) = 32),
    size_bytes INTEGER NOT NULL,
    modified_ns INTEGER,
    status TEXT NOT NULL CHECK (status IN ('ok', 'truncated', 'failed')),
    reason TEXT,
    width INTEGER,
    height INTEGER,
    format TEXT,
    orientation INTEGER,
    taken_at TEXT,
    camera TEXT,
    latitude REAL,
    longitude REAL,
    text TEXT,
    image_id INTEGER REFERENCES items (id),
    metadata TEXT NOT NULL,
    generation INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (source_kind, container, member)
) STRICT;

CREATE INDEX items_by_content ON items (modality, content_hash);
CREATE INDEX items_by_image ON items (image_id) WHERE image_id IS NOT NULL;
CREATE INDEX items_by_member ON items (member) WHERE source_kind = 'tar';

CREATE TABLE embeddings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    space_id INTEGER NOT NULL REFERENCES spaces (id),
    modality TEXT NOT NULL CHECK (modality IN ('image', 'text')),
    content_hash BLOB NOT NULL CHECK (length(content_hash) = 32),
    vector BLOB NOT NULL,
    generation INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (space_id, modality, content_hash)
) STRICT;

CREATE INDEX embeddings_by_generation ON embeddings (space_id, modality, generation);

-- Keys that a snapshot may still hold; rows go when a newer snapshot is published.
CREATE TABLE tombstones (
    embedding_id INTEGER PRIMARY KEY,
    space_id INTEGER NOT NULL REFERENCES spaces (id),
    modality TEXT NOT NULL CHECK (modality IN ('image', 'text')),
    generation INTEGER NOT NULL
) STRICT;

-- Tars and manifests. `scan` counts the versions of the file that were read: an item of an older scan is gone.
CREATE TABLE containers (
    path BLOB PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('tar', 'manifest')),
    size_bytes INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    scan INTEGER NOT NULL,
    complete INTEGER NOT NULL CHECK (complete IN (0, 1)),
    reason TEXT
) STRICT, WITHOUT ROWID;

-- What `index` was asked to index.
CREATE TABLE roots (
    path BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;
