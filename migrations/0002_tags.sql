-- Tags, and indexes for filters.

CREATE TABLE tags (
    item_id INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    tag TEXT NOT NULL CHECK (length(tag) BETWEEN 1 AND 100),
    -- Who says so: a person, or the item's own file.
    origin TEXT NOT NULL CHECK (origin IN ('user', 'file')),
    checksum INTEGER NOT NULL,
    PRIMARY KEY (item_id, tag, origin)
) STRICT, WITHOUT ROWID;

CREATE INDEX tags_by_tag ON tags (tag, item_id);

-- The fields of a condition (catalog/condition.rs) that select few items as a rule.
CREATE INDEX items_by_taken ON items (taken_at) WHERE taken_at IS NOT NULL;
CREATE INDEX items_by_modified ON items (modified_ns) WHERE modified_ns IS NOT NULL;
CREATE INDEX items_by_camera ON items (camera COLLATE NOCASE) WHERE camera IS NOT NULL;
CREATE INDEX items_by_latitude ON items (latitude) WHERE latitude IS NOT NULL;
