package jaeger

import (
	"bufio"
	"encoding/json"
	"net/http"
)

// traces writes traces while they are read: an answer may be larger than what one would want to have in memory.
type traces struct {
	to *bufio.Writer
	// count is how many were written, bytes about how much.
	count int
	bytes int64
	// err is the first error: nobody reads any longer.
	err error
}

// newTraces makes an answer. Nothing is sent before the first trace or the end.
func newTraces(w http.ResponseWriter) *traces {
	w.Header().Set("Content-Type", "application/json")
	return &traces{to: bufio.NewWriterSize(w, 32<<10)}
}

func (t *traces) text(text string) {
	if t.err == nil {
		_, t.err = t.to.WriteString(text)
	}
	t.bytes += int64(len(text))
}

func (t *traces) value(v any) {
	text, err := json.Marshal(v)
	if err != nil && t.err == nil {
		t.err = err
	}
	t.text(string(text))
}

// trace writes one trace.
func (t *traces) trace(id string, found *encodedTrace) {
	if t.count == 0 {
		t.text(`{"data":[`)
	} else {
		t.text(",")
	}
	t.count++
	t.text(`{"traceID":`)
	t.value(shortTraceIDOf(id))
	t.text(`,"spans":[`)
	of := newProcesses()
	warnings := found.warnings
	separator := ""
	for i, encoded := range found.spans {
		found.spans[i] = nil
		s, err := of.spanOf(encoded)
		if err != nil {
			warnings = append(warnings, "a span cannot be shown: "+err.Error())
			continue
		}
		t.text(separator)
		t.value(s)
		separator = ","
	}
	t.text(`],"processes":`)
	t.value(of.all)
	t.text(`,"warnings":`)
	t.value(warnings)
	t.text("}")
}

// end writes what follows the traces.
func (t *traces) end(errs []errorJSON) {
	if t.count == 0 {
		t.text(`{"data":[`)
	}
	t.text(`],"total":0,"limit":0,"offset":0,"errors":`)
	if len(errs) == 0 {
		errs = nil
	}
	t.value(errs)
	t.text("}\n")
	if t.err == nil {
		t.err = t.to.Flush()
	}
}
