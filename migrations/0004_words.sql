-- What items can be found by through words: one index for images, one for texts.
--
-- Derived from items, tags and descriptions: catalog/words.rs writes a row again whenever one of them changes, by the same
-- statement as here. `body` is a text itself, or what describes an image; `name` its file and folders.

CREATE VIRTUAL TABLE image_words USING fts5 (body, name, tags, tokenize = 'porter unicode61 remove_diacritics 2');
CREATE VIRTUAL TABLE text_words USING fts5 (body, name, tags, tokenize = 'porter unicode61 remove_diacritics 2');

-- What was removed shall not stay behind in the index.
INSERT INTO image_words (image_words, rank) VALUES ('secure-delete', 1);
INSERT INTO text_words (text_words, rank) VALUES ('secure-delete', 1);

-- A word of a caption counts four times one of a name, a tag twice as much again.
INSERT INTO image_words (image_words, rank) VALUES ('rank', 'bm25(4.0, 1.0, 8.0)');
INSERT INTO text_words (text_words, rank) VALUES ('rank', 'bm25(4.0, 1.0, 8.0)');

CREATE VIEW findable_words AS
SELECT item.id, item.modality,
    coalesce(item.text, (SELECT group_concat(said.text, char(10)) FROM (
        SELECT caption.text FROM items AS caption WHERE caption.image_id = item.id AND caption.status <> 'failed'
        UNION ALL SELECT description.text FROM descriptions AS description WHERE description.item_id = item.id
    ) AS said)) AS body,
    -- That of a manifest says nothing about its captions.
    CASE item.source_kind WHEN 'manifest' THEN NULL
        ELSE CAST(item.container AS TEXT) || ' ' || CAST(item.member AS TEXT) END AS name,
    (SELECT group_concat(tag, char(10)) FROM (SELECT DISTINCT tag FROM tags WHERE item_id = item.id)) AS tags
FROM items AS item WHERE item.status <> 'failed';

INSERT INTO image_words (rowid, body, name, tags) SELECT id, body, name, tags FROM findable_words WHERE modality = 'image';
INSERT INTO text_words (rowid, body, name, tags) SELECT id, body, name, tags FROM findable_words WHERE modality = 'text';
