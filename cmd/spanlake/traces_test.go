package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
	"github.com/spanlake/spanlake/internal/testkit/output"
	"github.com/spanlake/spanlake/internal/wal"
)

// tracesOf lists traces of the command line and says how to get the next page.
func tracesOf(r result) (traces []wire.Trace, cursor string) {
	r.t.Helper()
	if r.err != nil {
		r.t.Fatal(r.err)
	}
	_, cursor, _ = strings.Cut(strings.TrimSuffix(r.stderr, "\n"), "There are more: the same with --cursor ")
	return decode[[]wire.Trace](r.t, r.stdout), cursor
}

// pages lists all traces, page by page.
func (c commandLine) pages(args ...string) (ids []string) {
	c.t.Helper()
	for cursor := ""; ; {
		traces, next := tracesOf(c.run(append(args, "--json", "--cursor", cursor)...))
		for _, trace := range traces {
			ids = append(ids, trace.TraceID)
		}
		if next == "" {
			return ids
		}
		cursor = next
	}
}

// ask is the only column of a query.
func (c commandLine) ask(query string) (all []string) {
	c.t.Helper()
	lines := strings.Split(strings.TrimSuffix(c.must("sql", "--csv", query), "\n"), "\n")
	return lines[1:]
}

// Listings are what SQL says of the index, page after page, whichever filters there are.
func TestTracesAreWhatTheIndexHas(t *testing.T) {
	c := newSample(t)
	const roots = "SELECT trace_id FROM span_metadata WHERE is_root AND "
	for _, test := range []struct {
		args  []string
		where string
	}{
		{nil, "true"},
		{[]string{"--service", "web-frontend"}, "service_name = 'web-frontend'"},
		{[]string{"--name", "POST /chat"}, "name = 'POST /chat'"},
		{[]string{"--name", "POST ", "--name-match", "prefix"}, "starts_with(name, 'POST ')"},
		{[]string{"--name", "chat", "--name-match", "contains"}, "contains(name, 'chat')"},
		{[]string{"--status", "error"}, "status_code = 2"},
		{[]string{"--kind", "consumer"}, "span_kind = 5"},
		{[]string{"--min-duration", "2s"}, "duration_ns >= 2000000000"},
		{[]string{"--max-duration", "10ms"}, "duration_ns <= 10000000"},
		{[]string{"--from", "2026-10-31 23:20", "--until", "2026-10-31T23:40:00Z"}, "start_time >= TIMESTAMPTZ '2026-10-31 23:20:00Z' AND start_time < TIMESTAMPTZ '2026-10-31 23:40:00Z'"},
		{[]string{"--since", "36500d"}, "true"},
		{[]string{"--since", "1ms"}, "false"},
	} {
		want := c.ask(roots + test.where + " ORDER BY start_time DESC, trace_id")
		for _, limit := range []string{"7", "1000"} {
			if limit == "7" && len(test.args) > 2 {
				continue // once is enough
			}
			if got := c.pages(append([]string{"traces", "--limit", limit}, test.args...)...); !slices.Equal(got, want) {
				t.Errorf("traces --limit %s %q lists %d traces, want %d, or in another order", limit, test.args, len(got), len(want))
			}
		}
	}
}

// Attributes are those of any span of the trace.
func TestTracesByTheirAttributes(t *testing.T) {
	c := newSample(t)
	file := "read_parquet('" + c.lake.Path(sampleFile) + "')"
	for _, test := range []struct {
		args  []string
		where string
	}{
		{[]string{"--attr", "gen_ai.request.model=gpt-4o"}, `(attributes->>'$."gen_ai.request.model"') = 'gpt-4o'`},
		{[]string{"--attr", "gen_ai.tool.name"}, `(attributes->>'$."gen_ai.tool.name"') IS NOT NULL`},
		{[]string{"--workflow"}, `(attributes->>'$."junjo.span_type"') = 'workflow'`},
		{[]string{"--has-llm"}, `(attributes->>'$."openinference.span.kind"') = 'LLM' OR (attributes->>'$."gen_ai.operation.name"') IS NOT NULL OR ` +
			`(attributes->>'$."gen_ai.provider.name"') IS NOT NULL OR (attributes->>'$."gen_ai.system"') IS NOT NULL`},
	} {
		want := c.ask("SELECT trace_id FROM " + file + " WHERE parent_span_id IS NULL AND trace_id IN (SELECT trace_id FROM " + file + " WHERE " + test.where + ") ORDER BY trace_id")
		got := c.pages(append([]string{"traces", "--limit", "20"}, test.args...)...)
		if slices.Sort(got); !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("traces %q lists %d traces, want %d", test.args, len(got), len(want))
		}
	}
	both := c.pages("traces", "--attr", "gen_ai.request.model=gpt-4o", "--attr", "gen_ai.tool.name")
	for _, one := range []string{"gen_ai.request.model=gpt-4o", "gen_ai.tool.name"} {
		all := c.pages("traces", "--attr", one)
		for _, id := range both {
			if !slices.Contains(all, id) {
				t.Errorf("%s has both attributes, but not %s", id, one)
			}
		}
	}
}

// What people see of traces and spans.
func TestTracesAndSpansForPeople(t *testing.T) {
	c := newSample(t)
	table := c.run("traces", "--limit", "8")
	assertGolden(t, "traces", table.stdout)
	if table.err != nil || !strings.HasPrefix(table.stderr, "There are more: the same with --cursor ") {
		t.Errorf("traces: %v, %q", table.err, table.stderr)
	}
	if got, want := c.must("traces", "--service", "nobody"), "No trace matches.\n"; got != want {
		t.Errorf("no traces: %q, want %q", got, want)
	}
	if got, want := c.must("traces", "--service", "nobody", "--json"), "[]\n"; got != want {
		t.Errorf("no traces --json: %q, want %q", got, want)
	}
	failed, _ := tracesOf(c.run("traces", "--status", "error", "--has-llm", "--limit", "1", "--json"))
	if len(failed) != 1 || failed[0].StatusCode != "error" || (time.Duration(failed[0].DurationNS)-failed[0].EndTime.Sub(failed[0].StartTime)).Abs() > time.Microsecond {
		t.Fatalf("traces --status error --has-llm = %+v", failed)
	}
	assertGolden(t, "trace", c.must("trace", failed[0].TraceID))
	if got := c.must("trace", strings.ToUpper(failed[0].TraceID)); got != c.must("trace", failed[0].TraceID) {
		t.Errorf("in upper case it is another trace:\n%s", got)
	}
	root := c.must("span", failed[0].TraceID, failed[0].SpanID)
	assertGolden(t, "span", root)
	if got := c.must("span", failed[0].SpanID); got != root {
		t.Errorf("span without its trace:\n%s\nwith it:\n%s", got, root)
	}
	if strings.Contains(table.stdout+root, "\x1b") {
		t.Error("colours where there is no terminal")
	}
}

// spansOf reads a TracesData message in JSON.
func spansOf(t *testing.T, text string) (ids []string) {
	t.Helper()
	traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces([]byte(text))
	if err != nil {
		t.Fatalf("%v in %.300q", err, text)
	}
	for _, resource := range traces.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, s := range scope.Spans().All() {
				ids = append(ids, s.TraceID().String()+" "+s.SpanID().String())
			}
		}
	}
	slices.Sort(ids)
	return ids
}

func TestTracesAndSpansAsOTLP(t *testing.T) {
	c := newSample(t)
	id := c.ask("SELECT trace_id FROM span_metadata GROUP BY ALL ORDER BY count(*) DESC LIMIT 1")[0]
	want := c.ask("SELECT trace_id || ' ' || span_id FROM span_metadata WHERE trace_id = '" + id + "' ORDER BY span_id")
	if got := spansOf(t, c.must("trace", id, "--json")); !slices.Equal(got, want) || len(want) < 10 {
		t.Errorf("trace --json has %d spans, want %d", len(got), len(want))
	}
	_, spanID, _ := strings.Cut(want[3], " ")
	for _, args := range [][]string{{"span", id, spanID, "--json"}, {"span", spanID, "--json"}} {
		if got := spansOf(t, c.must(args...)); !slices.Equal(got, want[3:4]) {
			t.Errorf("%q has %q, want %q", args, got, want[3])
		}
	}
}

// What is not there is a failure that says what may be meant.
func TestTracesThatAreNotThere(t *testing.T) {
	c := newSample(t)
	trace, spanID := strings.Repeat("ab", 16), strings.Repeat("cd", 8)
	c.run("trace", trace).fails(exitFailure, trace, "was not found")
	c.run("trace", spanID).fails(exitFailure, spanID, "was not found", "`spanlake span "+spanID+"`")
	c.run("span", spanID).fails(exitFailure, spanID, "was not found")
	c.run("span", trace).fails(exitFailure, trace, "was not found", "`spanlake trace "+trace+"`")
	c.run("span", trace, spanID, "--json").fails(exitFailure, trace, spanID, "was not found")
	c.run("trace", "").fails(exitUsage, "trace id", "must have")
}

// What an answer lacks is said beside it, with what to do.
func TestAnswersThatAreNotComplete(t *testing.T) {
	c := newCommandLine(t)
	c.lake.Spans(t, "a.parquet", testkit.Spans(1, 3)...)
	c.must("index")
	says := func(what string, words ...string) {
		t.Helper()
		for _, args := range [][]string{{"traces", "--json"}, {"services", "--json"}, {"trace", testkit.TraceID(1), "--json"}} {
			r := c.run(args...)
			lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
			if r.err != nil || !json.Valid([]byte(r.stdout)) || len(words) == 0 && r.stderr != "" || len(words) > 0 && len(lines) != 1 {
				t.Errorf("%s: %q: %v, %q", what, args, r.err, r.stderr)
			}
			for _, word := range words {
				if !strings.Contains(r.stderr, word) {
					t.Errorf("%s: %q says %q, want it to say %q", what, args, r.stderr, word)
				}
			}
		}
	}
	says("complete")

	// A file that is not indexed yet is read all the same.
	c.lake.Spans(t, "b.parquet", testkit.Spans(10, 2)...)
	says("a file is pending")
	if got, want := c.services(), "svc 5"; got != want {
		t.Errorf("services = %s, want %s", got, want)
	}
	if got := c.pages("traces"); len(got) != 5 {
		t.Errorf("traces lists %q, want 5", got)
	}
	c.must("index")

	c.lake.Put(t, "bad.parquet", []byte("this is no Parquet file at all"))
	if r := c.run("index"); r.err != nil {
		t.Fatal(r.err)
	}
	says("a file has failed", "Not complete: 1 file", "`spanlake failed`")
	c.lake.Remove(t, "bad.parquet")
	c.must("index")
	says("complete again")

	// As a server leaves it that was killed.
	path := filepath.Join(t.TempDir(), "wal.db")
	log, err := wal.Open(t.Context(), wal.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(t.Context(), []byte("a request of 7 spans"), 7); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JUNJO_WAL_SQLITE_PATH", path)
	says("spans are in the log", "Not complete: 7 spans are in the write-ahead log "+path, "`spanlake serve`", "`spanlake flush`")
	r := c.run("trace", strings.Repeat("ab", 16))
	if exitCode(r.err) != exitFailure || !strings.Contains(r.stderr, "7 spans are in the write-ahead log") {
		t.Errorf("a trace that is not found: %v, %q", r.err, r.stderr)
	}
}

// A server answers as the command line does by itself, and with what is in no file yet.
func TestAskingAServer(t *testing.T) {
	i := newIngesting(t)
	i.must("sample", "--traces", "50", "--seed", "7")
	i.must("index")
	id := i.ask("SELECT trace_id FROM span_metadata GROUP BY ALL ORDER BY count(*) DESC LIMIT 1")[0]
	spanID := i.ask("SELECT span_id FROM span_metadata WHERE trace_id = '" + id + "' ORDER BY span_id LIMIT 1")[0]
	commands := [][]string{{"traces", "--limit", "1000"}, {"traces", "--json", "--status", "error", "--attr", "user.id"}, {"trace", id}, {"trace", id, "--json"},
		{"span", spanID}, {"span", id, spanID}, {"services"}, {"export", "-o", "-", "--service", "web-frontend"}}
	var alone []string
	for _, args := range commands {
		alone = append(alone, i.must(args...))
	}
	s := i.start(i.args("serve")...)
	for n, args := range commands {
		if got := s.must(args...); got != alone[n] {
			t.Errorf("%q of a server:\n%s\nwithout one:\n%s", args, got, alone[n])
		}
	}

	s.mustSend(1, 2)
	if got, _ := tracesOf(s.of("traces", "--service", "svc", "--json")); len(got) != 2 {
		t.Errorf("traces that are in no file yet: %+v", got)
	}
	if got := spansOf(t, s.must("trace", testkit.TraceID(2), "--json")); len(got) != 1 {
		t.Errorf("a trace that is in no file yet: %q", got)
	}
	if got := decode[[]span.Service](t, s.must("services", "--json")); !slices.ContainsFunc(got, func(s span.Service) bool { return s.Name == "svc" && s.TotalSpans == 2 }) {
		t.Errorf("services = %+v", got)
	}
	if got := spansOf(t, strings.Split(s.must("export", "-o", "-", "--service", "svc"), "\n")[0]); len(got) != 1 {
		t.Errorf("an export of what is in no file yet has %q in its first line", got)
	}
	s.of("traces", "--limit", "10001").fails(exitUsage, "--limit", `"10001"`, "from 1 to 10000")
	s.of("traces", "--cursor", "x").fails(exitUsage, "--cursor", `"x"`)
	s.of("trace", strings.Repeat("ab", 16)).fails(exitFailure, "was not found")
	s.stop()
	for _, command := range []string{"traces", "trace x", "span x", "tail", "export -o -"} {
		s.of(strings.Fields(command)...).fails(exitFailure, "nobody answers at "+s.url)
	}
}

// now is a request with the root spans of new traces.
func now(t *testing.T, service string, ids ...int) []byte {
	t.Helper()
	request := &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: service}}}}},
	}}}
	for _, id := range ids {
		end := uint64(time.Now().UnixNano())
		request.ResourceSpans[0].ScopeSpans = append(request.ResourceSpans[0].ScopeSpans, &tracepb.ScopeSpans{Spans: []*tracepb.Span{{
			TraceId: fmt.Appendf(nil, "%016d", id), SpanId: fmt.Appendf(nil, "%08d", id), Name: fmt.Sprintf("op\x1b %d", id),
			StartTimeUnixNano: end - 1e6, EndTimeUnixNano: end,
		}}})
	}
	data, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// post sends a request in protobuf, which has to be taken.
func (s *server) post(request []byte) {
	s.t.Helper()
	response, err := http.Post(s.otlp+"/v1/traces", "application/x-protobuf", bytes.NewReader(request))
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.stderr)
	}
	if _ = response.Body.Close(); response.StatusCode != http.StatusOK {
		s.t.Fatalf("HTTP status %d\n%s", response.StatusCode, s.stderr)
	}
}

// tailing is a `spanlake tail` that runs.
type tailing struct {
	stdout, stderr *output.Buffer
	stop           context.CancelFunc
	ended          chan error
}

func (s *server) tail(args ...string) *tailing {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &tailing{stdout: &output.Buffer{}, stderr: &output.Buffer{}, stop: cancel, ended: make(chan error, 1)}
	s.t.Cleanup(cancel)
	go func() {
		f.ended <- Run(ctx, slices.Concat([]string{"tail", "--server", s.url}, args), f.stdout, f.stderr)
	}()
	return f
}

// Tail prints what arrives, once, until it is told to end, which is no failure; that the server ends is one.
func TestTail(t *testing.T) {
	i := newIngesting(t)
	s := i.start(i.args("serve")...)
	plain, objects, others := s.tail(), s.tail("--json"), s.tail("--service", "other")
	var sent []string
	// Whoever begins a moment later sees what comes then.
	for n := 1; strings.Count(plain.stdout.String(), "\n") < 3 || strings.Count(objects.stdout.String(), "\n") < 3; n++ {
		if n > 200 {
			t.Fatalf("tail prints %q, %q and says %q, %q", plain.stdout, objects.stdout, plain.stderr, objects.stderr)
		}
		s.post(now(t, "svc", n))
		sent = append(sent, fmt.Sprintf("%x", fmt.Sprintf("%016d", n)))
		time.Sleep(100 * time.Millisecond)
	}
	plain.stop()
	if err := <-plain.ended; exitCode(err) != exitOK || plain.stderr.String() != "" {
		t.Errorf("tail that was told to end: %v, %q", err, plain.stderr)
	}
	for line := range strings.Lines(plain.stdout.String()) {
		if fields := strings.Fields(line); len(fields) < 7 || !slices.Contains(sent, fields[2]) || !strings.HasSuffix(line, fields[len(fields)-1]+"\n") || !strings.Contains(line, `svc: op\x1b `) {
			t.Errorf("tail prints %q", line)
		}
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(objects.stdout.String()) {
		trace := decode[wire.Trace](t, line)
		if seen[trace.TraceID] || !slices.Contains(sent, trace.TraceID) || trace.ServiceName != "svc" {
			t.Errorf("tail --json prints %+v", trace)
		}
		seen[trace.TraceID] = true
	}
	if got := others.stdout.String(); got != "" {
		t.Errorf("tail --service other prints %q", got)
	}
	s.stop()
	if err := <-objects.ended; exitCode(err) != exitFailure {
		t.Errorf("tail of a server that ended: %v", err)
	}
	others.stop()
	newCommandLine(t).run("tail").fails(exitFailure, "no server runs", "`spanlake serve`", "--server")
}

// An export has every span that was asked for, once, in a file that is not replaced by accident.
func TestExport(t *testing.T) {
	c := newSample(t)
	t.Chdir(t.TempDir())
	all := c.ask("SELECT trace_id || ' ' || span_id FROM span_metadata ORDER BY ALL")
	of := func(path string) (ids []string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			ids = append(ids, spansOf(t, line)...)
		}
		slices.Sort(ids)
		return ids
	}
	if got := c.must("export", "-o", "all.jsonl"); !strings.HasPrefix(got, "all.jsonl: 2,280 spans, ") {
		t.Errorf("export prints %q", got)
	}
	if got := of("all.jsonl"); !slices.Equal(got, all) {
		t.Errorf("the export has %d spans, want %d", len(got), len(all))
	}
	c.run("export", "-o", "all.jsonl").fails(exitFailure, "all.jsonl is there already", "--force")
	c.must("export", "-o", "all.jsonl", "--force", "--status", "error")
	if got, want := of("all.jsonl"), c.ask("SELECT trace_id || ' ' || span_id FROM span_metadata WHERE status_code = 2 ORDER BY ALL"); !slices.Equal(got, want) {
		t.Errorf("the export of errors has %d spans, want %d", len(got), len(want))
	}
	c.must("export", "-o", "spans.parquet", "--from", "2026-10-31 23:30")
	var got []string
	for _, s := range testkit.ReadSpans(t, "spans.parquet") {
		got = append(got, s.TraceID+" "+s.SpanID)
	}
	if want := c.ask("SELECT trace_id || ' ' || span_id FROM span_metadata WHERE start_time >= TIMESTAMPTZ '2026-10-31 23:30:00Z' ORDER BY ALL"); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("the export in Parquet has %d spans, want %d", len(got), len(want))
	}
	c.must("export", "-o", "named", "--format", "parquet", "--has-llm")
	if got := len(testkit.ReadSpans(t, "named")); got == 0 || got >= 2280 {
		t.Errorf("calls of a model are %d spans", got)
	}
	c.run("export", "-o", "none.jsonl", "--service", "nobody").fails(exitFailure, "no span matches")
	c.run("export", "-o", filepath.Join("missing", "a.jsonl")).fails(exitFailure, "missing")
	if got, want := files(t, "."), []string{"all.jsonl", "named", "spans.parquet"}; !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	if got := c.must("export", "-o", "-", "--service", "nobody"); got != "" {
		t.Errorf("nothing to standard output is %q", got)
	}
}

// What was exported as Parquet is a lake: indexed, it has the same traces.
func TestAnExportIsALake(t *testing.T) {
	c, copied := newSample(t), newCommandLine(t)
	if err := os.MkdirAll(copied.lake.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	c.must("export", "-o", copied.lake.Path("copy.parquet"))
	copied.must("index")
	for _, query := range []string{"FROM services ORDER BY ALL", "SELECT * EXCLUDE file_id FROM span_metadata ORDER BY ALL"} {
		if copied.must("sql", "--csv", query) != c.must("sql", "--csv", query) {
			t.Errorf("%s: the copy differs", query)
		}
	}
}

// An export that is interrupted leaves nothing.
func TestAnExportThatIsInterrupted(t *testing.T) {
	c := newSample(t)
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr strings.Builder
	err := Run(ctx, []string{"export", "-o", filepath.Join(folder, "a.parquet"), "--lake", c.lake.Root, "--db", c.db}, &stdout, &stderr)
	if exitCode(err) != exitInterrupted {
		t.Errorf("export = %v", err)
	}
	if left := files(t, folder); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}
