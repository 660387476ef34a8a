-- The tables of a Spanlake index. Names and columns of the tables above the line are a contract with users, described
-- in docs/formats/index.md. There is no PRIMARY KEY, FOREIGN KEY or index on the large tables: see docs/adr/0001.

CREATE TABLE schema_version (
    version    INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

-- One row for each indexed file. This is the checkpoint: nothing else says what has been indexed.
CREATE TABLE parquet_files (
    file_id         INTEGER NOT NULL,
    file_path       VARCHAR NOT NULL UNIQUE, -- relative to the lake root, with '/'
    service_name    VARCHAR,                 -- the service with most spans in the file
    min_time        TIMESTAMPTZ,             -- of start_time
    max_time        TIMESTAMPTZ,             -- of start_time
    row_count       BIGINT NOT NULL,         -- rows in the Parquet file
    size_bytes      BIGINT NOT NULL,
    mtime           TIMESTAMPTZ,             -- null: index the file again
    indexed_at      TIMESTAMPTZ NOT NULL,
    duplicate_count BIGINT NOT NULL,         -- rows that repeat a span which is already there
    skipped_count   BIGINT NOT NULL          -- rows that cannot be a span
);

CREATE TABLE span_metadata (
    -- Random digits: DuckDB's own choice, DICT_FSST, makes the index 15 % smaller and indexing 20 % slower.
    span_id        VARCHAR NOT NULL USING COMPRESSION zstd,
    trace_id       VARCHAR NOT NULL,
    parent_span_id VARCHAR USING COMPRESSION zstd, -- null for a root
    service_name   VARCHAR NOT NULL,
    name           VARCHAR NOT NULL,
    start_time     TIMESTAMPTZ NOT NULL,     -- microseconds; nanoseconds are in the Parquet file
    end_time       TIMESTAMPTZ,
    duration_ns    BIGINT,
    status_code    INTEGER NOT NULL,
    span_kind      INTEGER NOT NULL,
    is_root        BOOLEAN NOT NULL,
    file_id        INTEGER NOT NULL
);

CREATE TABLE services (
    service_name VARCHAR NOT NULL,
    first_seen   TIMESTAMPTZ NOT NULL,
    last_seen    TIMESTAMPTZ NOT NULL,
    total_spans  BIGINT NOT NULL
);

CREATE TABLE file_services (
    file_id      INTEGER NOT NULL,
    service_name VARCHAR NOT NULL,
    span_count   BIGINT NOT NULL,
    min_time     TIMESTAMPTZ NOT NULL,
    max_time     TIMESTAMPTZ NOT NULL
);

CREATE TABLE failed_parquet_files (
    file_path     VARCHAR NOT NULL UNIQUE,
    error_type    VARCHAR NOT NULL,
    error_message VARCHAR NOT NULL,
    file_size     BIGINT NOT NULL,
    failed_at     TIMESTAMPTZ NOT NULL,
    retry_count   INTEGER NOT NULL,
    file_mtime    TIMESTAMPTZ,              -- null: try the file again
    retry_at      TIMESTAMPTZ,              -- when it is tried again unchanged; null: not before it changes
    tries         INTEGER NOT NULL          -- without success since it changed last
);

CREATE VIEW daily_stats AS
SELECT service_name,
       CAST(start_time AT TIME ZONE 'UTC' AS DATE) AS day,
       count(*) AS span_count,
       count(*) FILTER (status_code = 2) AS error_count,
       avg(duration_ns) AS avg_duration_ns,
       approx_quantile(duration_ns, 0.50) AS p50_duration_ns,
       approx_quantile(duration_ns, 0.95) AS p95_duration_ns,
       approx_quantile(duration_ns, 0.99) AS p99_duration_ns
FROM span_metadata
GROUP BY ALL;

-- ---------------------------------------------------------------------------------------------------------------
-- Internal.

CREATE SEQUENCE file_ids;

-- Which files hold spans of a trace. trace_lookup consists of long sorted runs; what was indexed last waits in
-- trace_lookup_tail to become one. Trace ids are random: packing their bits saves next to nothing, and unpacking them
-- made a look-up take 8 ms instead of 1.
CREATE TABLE trace_lookup (
    trace_id UUID NOT NULL USING COMPRESSION uncompressed,
    file_id  INTEGER NOT NULL
);

CREATE TABLE trace_lookup_tail (
    trace_id UUID NOT NULL USING COMPRESSION uncompressed,
    file_id  INTEGER NOT NULL
);

-- How many rows of a file were left out because first_file_id has the same spans. When that file goes, these files
-- are indexed again.
CREATE TABLE file_repeats (
    file_id       INTEGER NOT NULL,
    first_file_id INTEGER NOT NULL,
    span_count    BIGINT NOT NULL
);

-- Files that retention has taken out of the index and that are still to be deleted from the lake.
CREATE TABLE retired_files (
    file_path  VARCHAR NOT NULL UNIQUE,
    size_bytes BIGINT NOT NULL,
    mtime      BIGINT NOT NULL              -- microseconds since 1970
);
