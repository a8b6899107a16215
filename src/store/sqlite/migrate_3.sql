-- From schema version 3 to 4: an id of an event may be remembered longer than others.

ALTER TABLE event_ids ADD COLUMN longer INTEGER NOT NULL DEFAULT 0;

DROP INDEX event_ids_at;

CREATE INDEX event_ids_at ON event_ids (at + longer);
