-- How the items of a space answer what has nothing to do with them; scores of queries are compared with that.
--
-- Derived: measured again with every snapshot. The columns of bytes hold f32 values, least significant byte first.

CREATE TABLE backgrounds (
    space_id INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
    modality TEXT NOT NULL CHECK (modality IN ('image', 'text')),
    -- That of the snapshot.
    generation INTEGER NOT NULL,
    -- The mean of the modality's embeddings.
    mean BLOB NOT NULL,
    -- The mean of the phrases' embeddings: where texts lie.
    phrase_mean BLOB NOT NULL,
    -- The best score that each of some everyday phrases has with an item, in ascending order.
    best_scores BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (space_id, modality)
) STRICT, WITHOUT ROWID;
