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
    max_time     TIMESTAMPTZ NOT NULL,
    root_count   BIGINT NOT NULL,
    error_count  BIGINT NOT NULL
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

-- ---------------------------------------------------------------------------------------------------------------
-- Internal.

CREATE SEQUENCE file_ids;

-- Durations by service and day, as DDSketches (Masson, Rim, Lee: DDSketch, VLDB 2019; docs/adr/0005): one row for each
-- bucket that has spans. A bucket with duration d > 0 takes in those above d / gamma up to d, where gamma = 101 / 99 makes
-- every one within 1 % of the middle. Rows may repeat a bucket: what counts is their sum. What batches add and take away
-- waits in daily_durations_tail to be merged, negative where spans went.
CREATE TABLE daily_durations (
    service_name VARCHAR NOT NULL,
    day          DATE NOT NULL,
    bucket       SMALLINT,                  -- of duration_bucket; null for spans without a duration
    span_count   BIGINT NOT NULL,
    error_count  BIGINT NOT NULL,
    duration_sum HUGEINT NOT NULL           -- of integers, so that what is added and taken away again leaves nothing
);

CREATE TABLE daily_durations_tail (
    service_name VARCHAR NOT NULL,
    day          DATE NOT NULL,
    bucket       SMALLINT,
    span_count   BIGINT NOT NULL,
    error_count  BIGINT NOT NULL,
    duration_sum HUGEINT NOT NULL
);

-- The UTC day of a time. AT TIME ZONE takes ten times as long, and fails at both ends of what a TIMESTAMPTZ can be.
CREATE MACRO utc_day(t) AS CAST(make_timestamp(epoch_us(t)) AS DATE);

-- The number of the bucket of a duration: 0 for 0, from 1 for 1 ns to 2185 for the longest BIGINT, and the same below 0.
CREATE MACRO duration_bucket(ns) AS
    CAST(CASE WHEN ns = 0 THEN 0 ELSE sign(ns) * (1 + ceil(ln(abs(CAST(ns AS DOUBLE))) / ln(101 / 99))) END AS SMALLINT);

-- The duration that stands for a bucket: 2 / (gamma + 1) of its upper end.
CREATE MACRO bucket_duration(bucket) AS
    CAST(sign(bucket) * least(CAST(round(0.99 * pow(101 / 99, abs(bucket) - 1)) AS HUGEINT), 9223372036854775807) AS BIGINT);

-- Part of the contract, see docs/formats/index.md. The rows of a bucket are merged by the window, which sorts once and
-- can swap; grouping them by bucket first cannot swap enough (docs/benchmarks.md).
CREATE VIEW daily_stats AS
WITH ranked AS (
    SELECT *,
           nullif(sum(span_count) FILTER (bucket IS NOT NULL) OVER (buckets RANGE BETWEEN UNBOUNDED PRECEDING
                                                                              AND UNBOUNDED FOLLOWING), 0) AS timed,
           sum(span_count) OVER (buckets RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS rank
    FROM (FROM daily_durations UNION ALL FROM daily_durations_tail)
    WINDOW buckets AS (PARTITION BY service_name, day ORDER BY bucket NULLS LAST)
)
SELECT service_name,
       day,
       CAST(sum(span_count) AS BIGINT) AS span_count,
       CAST(sum(error_count) AS BIGINT) AS error_count,
       CAST(sum(duration_sum) AS DOUBLE) / CAST(any_value(timed) AS DOUBLE) AS avg_duration_ns,
       bucket_duration(min(bucket) FILTER (rank * 100 >= timed * 50)) AS p50_duration_ns,
       bucket_duration(min(bucket) FILTER (rank * 100 >= timed * 95)) AS p95_duration_ns,
       bucket_duration(min(bucket) FILTER (rank * 100 >= timed * 99)) AS p99_duration_ns
FROM ranked
GROUP BY service_name, day
HAVING sum(span_count) > 0;

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

-- The rows of span_metadata that are roots, once more: lists of traces read a tenth of the rows, or less (docs/adr/0016).
CREATE TABLE root_spans AS FROM span_metadata LIMIT 0;

-- Which attributes the spans in a row group may have, as the footer of its file says: docs/adr/0013. Files that do not say
-- so have no rows here. The bits of filters are random, so trying to compress them is in vain.
CREATE TABLE row_groups (
    file_id    INTEGER NOT NULL,
    row_group  INTEGER NOT NULL,            -- its number in the file, from 0
    attributes BLOB NOT NULL USING COMPRESSION uncompressed
);

-- Files that retention has taken out of the index and that are still to be deleted from the lake.
CREATE TABLE retired_files (
    file_path  VARCHAR NOT NULL UNIQUE,
    size_bytes BIGINT NOT NULL,
    mtime      BIGINT NOT NULL              -- microseconds since 1970
);
