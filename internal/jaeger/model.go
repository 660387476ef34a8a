package jaeger

// These are the answers of Jaeger's HTTP query API, as internal/uimodel and cmd/query/app/http_handler.go of Jaeger 1.76 have them.

// errorJSON is an element of "errors".
type errorJSON struct {
	Code    int    `json:"code,omitempty"`
	Message string `json:"msg"`
	TraceID string `json:"traceID,omitempty"`
}

// answerJSON is around all answers.
type answerJSON struct {
	Data   any         `json:"data"`
	Total  int         `json:"total"`
	Limit  int         `json:"limit"`
	Offset int         `json:"offset"`
	Errors []errorJSON `json:"errors"`
}

type operationJSON struct {
	Name     string `json:"name"`
	SpanKind string `json:"spanKind"`
}

type dependencyJSON struct {
	Parent    string `json:"parent"`
	Child     string `json:"child"`
	CallCount int64  `json:"callCount"`
}

// spanJSON is a span. Times are microseconds.
type spanJSON struct {
	TraceID       string          `json:"traceID"`
	SpanID        string          `json:"spanID"`
	Flags         uint32          `json:"flags,omitempty"`
	OperationName string          `json:"operationName"`
	References    []referenceJSON `json:"references"`
	StartTime     uint64          `json:"startTime"`
	Duration      uint64          `json:"duration"`
	Tags          []tagJSON       `json:"tags"`
	Logs          []logJSON       `json:"logs"`
	ProcessID     string          `json:"processID"`
	Warnings      []string        `json:"warnings"`
}

type referenceJSON struct {
	RefType string `json:"refType"`
	TraceID string `json:"traceID"`
	SpanID  string `json:"spanID"`
}

// processJSON is what a span knows of its service and resource.
type processJSON struct {
	ServiceName string    `json:"serviceName"`
	Tags        []tagJSON `json:"tags"`
}

type logJSON struct {
	Timestamp uint64    `json:"timestamp"`
	Fields    []tagJSON `json:"fields"`
}

type tagJSON struct {
	Key   string `json:"key"`
	Type  string `json:"type"`
	Value any    `json:"value"`
}
