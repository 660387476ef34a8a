-- docs/formats/wal.md describes these tables. A change raises schemaVersion in database.go.

CREATE TABLE requests (
    key         INTEGER PRIMARY KEY, -- the first 8 bytes of id
    id          BLOB    NOT NULL,    -- ULID
    received_at INTEGER NOT NULL,    -- nanoseconds since 1970
    spans       INTEGER NOT NULL,
    raw_bytes   INTEGER NOT NULL,    -- length of the protobuf message
    crc32c      INTEGER NOT NULL,    -- of the protobuf message
    data        BLOB    NOT NULL     -- the protobuf message as an S2 block
) STRICT;

CREATE TABLE flushes (
    id           INTEGER PRIMARY KEY, -- key of the first request
    first_id     BLOB    NOT NULL,
    last_id      BLOB    NOT NULL,
    requests     INTEGER NOT NULL,
    spans        INTEGER NOT NULL,
    raw_bytes    INTEGER NOT NULL,
    started_at   INTEGER NOT NULL,    -- nanoseconds since 1970
    path         TEXT    NOT NULL,    -- in the lake; '' until it is known
    published_at INTEGER              -- nanoseconds since 1970; null until the file is in the lake
) STRICT;

CREATE TABLE damaged (
    key      INTEGER PRIMARY KEY, -- of the row in requests, which stays where it is
    found_at INTEGER NOT NULL,    -- nanoseconds since 1970
    problem  TEXT    NOT NULL
) STRICT;

CREATE TABLE state (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    last_key INTEGER NOT NULL -- no request that comes may have a key up to this one
) STRICT;

INSERT INTO state VALUES (1, 0);
