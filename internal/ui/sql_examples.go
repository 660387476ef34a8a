package ui

// SQLExample is a query that is offered on the page for SQL.
type SQLExample struct{ Title, Query string }

// SQLExamples are those that the page offers, the first of which is in the editor at first.
func SQLExamples() []SQLExample {
	return []SQLExample{
		{"Slowest operations", `SELECT service_name, name, count(*) AS spans,
       round(median(duration_ns) / 1e6, 1) AS p50_ms,
       round(quantile_cont(duration_ns, 0.95) / 1e6, 1) AS p95_ms,
       round(max(duration_ns) / 1e6, 1) AS max_ms
FROM span_metadata
GROUP BY ALL
ORDER BY p95_ms DESC
LIMIT 25`},
		{"Error rate by hour", `SELECT date_trunc('hour', start_time) AS hour, service_name, count(*) AS spans,
       count(*) FILTER (status_code = 2) AS errors,
       round(100.0 * errors / spans, 2) AS error_percent
FROM span_metadata
WHERE start_time > now() - INTERVAL 24 HOURS
GROUP BY ALL
HAVING errors > 0
ORDER BY hour DESC, error_percent DESC`},
		{"Latest errors", `SELECT start_time, service_name, name, status_message, trace_id, span_id
FROM spans
WHERE status_code = 2
ORDER BY start_time DESC
LIMIT 50`},
		// All values are taken out of the JSON in one go: each further call would parse it again, in memory of its own.
		{"Tokens by model and day", `WITH calls AS (
    SELECT start_time, json_extract_string(attributes, [
        '$."gen_ai.request.model"', '$."gen_ai.usage.input_tokens"', '$."gen_ai.usage.output_tokens"',
        '$."llm.model_name"', '$."llm.token_count.prompt"', '$."llm.token_count.completion"']) AS a
    FROM spans
)
SELECT utc_day(start_time) AS day, coalesce(a[1], a[4]) AS model, count(*) AS calls,
       sum(CAST(coalesce(a[2], a[5]) AS BIGINT)) AS input_tokens,
       sum(CAST(coalesce(a[3], a[6]) AS BIGINT)) AS output_tokens
FROM calls
WHERE model IS NOT NULL
GROUP BY ALL
ORDER BY day DESC, calls DESC`},
		{"Largest traces", `SELECT trace_id, count(*) AS spans, count(DISTINCT service_name) AS services,
       min(start_time) AS began, count(*) FILTER (status_code = 2) AS errors
FROM span_metadata
GROUP BY trace_id
ORDER BY spans DESC
LIMIT 25`},
		{"Who calls whom", `SELECT parent.service_name AS caller, child.service_name AS called,
       count(*) AS calls, round(avg(child.duration_ns) / 1e6, 1) AS avg_ms
FROM span_metadata AS child
JOIN span_metadata AS parent ON parent.trace_id = child.trace_id AND parent.span_id = child.parent_span_id
WHERE parent.service_name <> child.service_name
GROUP BY ALL
ORDER BY calls DESC`},
		{"Tools and their errors", `SELECT attributes ->> '$."gen_ai.tool.name"' AS tool, count(*) AS calls,
       count(*) FILTER (status_code = 2) AS errors,
       round(median(duration_ns) / 1e6, 1) AS p50_ms
FROM spans
WHERE tool IS NOT NULL
GROUP BY ALL
ORDER BY calls DESC`},
		{"Daily statistics", `SELECT day, service_name, span_count, error_count,
       round(p50_duration_ns / 1e6, 1) AS p50_ms, round(p99_duration_ns / 1e6, 1) AS p99_ms
FROM daily_stats
ORDER BY day DESC, span_count DESC`},
		{"Files by size", `SELECT file_path, row_count, format_bytes(size_bytes) AS size, round(size_bytes / row_count) AS bytes_per_span,
       min_time, max_time, indexed_at
FROM parquet_files
ORDER BY size_bytes DESC
LIMIT 100`},
	}
}
