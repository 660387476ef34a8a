package index

import (
	"fmt"
	"slices"
	"strings"
)

// columnFamily says what a light column of the lake must be readable as.
type columnFamily int

const (
	textFamily columnFamily = iota
	integerFamily
	timeFamily
)

func (f columnFamily) String() string {
	return [...]string{"text", "an integer", "a timestamp"}[f]
}

// accepts tells whether a column of DuckDB's type can be read as the family.
func (f columnFamily) accepts(duckType string) bool {
	switch f {
	case textFamily:
		return duckType == "VARCHAR" || duckType == "JSON" || strings.HasPrefix(duckType, "ENUM(")
	case integerFamily:
		return slices.Contains([]string{"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}, duckType)
	default:
		return strings.HasPrefix(duckType, "TIMESTAMP")
	}
}

// lightColumn is a column of the lake that the index reads. All others stay in Parquet.
type lightColumn struct {
	name   string
	family columnFamily
	// required: without it a row is no span.
	required bool
}

func lightColumns() []lightColumn {
	return []lightColumn{
		{"span_id", textFamily, true},
		{"trace_id", textFamily, true},
		{"parent_span_id", textFamily, false},
		{"service_name", textFamily, false},
		{"name", textFamily, false},
		{"start_time", timeFamily, true},
		{"end_time", timeFamily, false},
		{"duration_ns", integerFamily, false},
		{"status_code", integerFamily, false},
		{"span_kind", integerFamily, false},
	}
}

func lightColumnNames() []string {
	var names []string
	for _, column := range lightColumns() {
		names = append(names, column.name)
	}
	return names
}

// layout is what a footer says of a file.
type layout struct {
	rows, rowGroups int64
	// types are DuckDB's types of the light columns that the file has, by name.
	types map[string]string
	// shadowed: it has a column of its own with the name of one that DuckDB adds to every file.
	shadowed bool
}

// nullType is how DuckDB names the type of a column that has nothing but nulls.
const nullType = `"NULL"`

// add notes a top-level column. Names are compared as SQL does, without regard to case; the first of equals counts.
func (l *layout) add(name, duckType string, nested bool) {
	name = strings.ToLower(name)
	if name == "file_index" || name == "file_row_number" {
		l.shadowed = true
	}
	if !slices.Contains(lightColumnNames(), name) {
		return
	}
	if l.types == nil {
		l.types = make(map[string]string)
	}
	if _, ok := l.types[name]; ok {
		return
	}
	if nested {
		duckType = "a nested column"
	}
	l.types[name] = duckType
}

// check says what keeps the columns from being read as spans, and leaves out optional columns that hold only nulls.
func (l *layout) check() error {
	for _, column := range lightColumns() {
		duckType, ok := l.types[column.name]
		switch {
		case !ok && column.required:
			return &FileError{Type: MissingColumn, Err: fmt.Errorf("has no column %s", column.name)}
		case !ok:
		case duckType == nullType && !column.required:
			delete(l.types, column.name)
		case !column.family.accepts(duckType):
			return &FileError{Type: WrongType, Err: fmt.Errorf("has column %s as %s, which cannot be read as %s",
				column.name, duckType, column.family)}
		}
	}
	return nil
}

// signature is equal for files that one SELECT can read together.
func (l *layout) signature() string {
	var s strings.Builder
	for _, column := range lightColumns() {
		s.WriteString(l.types[column.name] + "|")
	}
	return s.String()
}

// selectSQL reads the rows that are spans from files of this layout. Parameter paths is the number of the parameter
// with their paths, and paths+1 that of the one with their file ids in the same order. The columns are those of
// span_metadata, file_row_number, and more.
func (l *layout) selectSQL(paths int, more ...string) string {
	has := func(name string) bool { _, ok := l.types[name]; return ok }
	// Without these columns a span has OpenTelemetry's default.
	optional := func(name, expression, otherwise string) string {
		if has(name) {
			return expression
		}
		return otherwise
	}
	start := "CAST(start_time AS TIMESTAMPTZ)"
	// A derived time or duration out of range is no reason to lose the span: TRY makes it null.
	duration := optional("duration_ns", "TRY_CAST(duration_ns AS BIGINT)", "CAST(NULL AS BIGINT)")
	// DuckDB knows infinite times, which no clock shows.
	end := optional("end_time", "CASE WHEN isfinite(CAST(end_time AS TIMESTAMPTZ)) THEN CAST(end_time AS TIMESTAMPTZ) END",
		"TRY("+start+" + to_microseconds("+duration+" // 1000))")
	if !has("duration_ns") {
		duration = optional("end_time", "TRY((epoch_us("+end+") - epoch_us("+start+")) * 1000)", duration)
	}
	// OpenTelemetry's invalid id, all zeros, means no parent as well (trace API, "SpanContext").
	parent := optional("parent_span_id", "nullif(nullif(CAST(parent_span_id AS VARCHAR), ''), '0000000000000000')",
		"CAST(NULL AS VARCHAR)")
	position, row := "CAST(file_index AS BIGINT) + 1", "file_row_number"
	if l.shadowed {
		position, row = "1", "0" // such a file is read alone, and which of its repeats is the first one stays open
	}
	return fmt.Sprintf(`
SELECT CAST(span_id AS VARCHAR) AS span_id,
       CAST(trace_id AS VARCHAR) AS trace_id,
       %[1]s AS parent_span_id,
       %[2]s AS service_name,
       %[3]s AS name,
       %[4]s AS start_time,
       %[5]s AS end_time,
       %[6]s AS duration_ns,
       %[7]s AS status_code,
       %[8]s AS span_kind,
       %[9]s AS is_root,
       list_extract($%[11]d::INTEGER[], %[12]s) AS file_id,
       %[13]s AS file_row_number%[14]s
FROM read_parquet($%[10]d, hive_partitioning = false)
WHERE trace_id <> '' AND span_id <> '' AND isfinite(%[4]s)`,
		parent,
		optional("service_name", "coalesce(nullif(CAST(service_name AS VARCHAR), ''), 'unknown_service')", "'unknown_service'"),
		optional("name", "coalesce(CAST(name AS VARCHAR), '')", "''"),
		start, end, duration,
		optional("status_code", "coalesce(TRY_CAST(status_code AS INTEGER), 0)", "0"),
		optional("span_kind", "coalesce(TRY_CAST(span_kind AS INTEGER), 0)", "0"),
		parent+" IS NULL",
		paths, paths+1, position, row, strings.Join(append([]string{""}, more...), ",\n       "))
}

// spanColumns are the columns of span_metadata, in its order.
const spanColumns = `span_id, trace_id, parent_span_id, service_name, name, start_time, end_time, duration_ns,
	status_code, span_kind, is_root, file_id`

// source is the SELECT over the files of a batch, with the values of its parameters.
type source struct {
	sql  string
	args []any
}

// newSource builds one SELECT over all items. Its parameters are numbered from 1.
func (x *Index) newSource(items []*item) source { return x.newSourceFrom(items, 1) }

// newSourceFrom is newSource with parameters numbered from first.
func (x *Index) newSourceFrom(items []*item, first int) source {
	groups := make(map[string][]*item)
	var order []string
	for _, it := range items {
		signature := it.layout.signature()
		if it.layout.shadowed {
			signature = it.file.Path
		}
		if groups[signature] == nil {
			order = append(order, signature)
		}
		groups[signature] = append(groups[signature], it)
	}
	var parts []string
	var args []any
	for _, signature := range order {
		group := groups[signature]
		ids := make([]int32, len(group))
		for i, it := range group {
			ids[i] = it.fileID
		}
		parts = append(parts, group[0].layout.selectSQL(first+len(args)))
		args = append(args, x.globPaths(group), ids)
	}
	return source{sql: strings.Join(parts, "\nUNION ALL"), args: args}
}
