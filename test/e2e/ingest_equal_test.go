//go:build unix

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/testkit/otlpgen"
)

// expected are spans that have to be in the lake, by trace id and span id.
type expected map[string]*tracepb.TracesData

func (e expected) add(request *collector.ExportTraceServiceRequest) {
	for _, data := range otlpgen.Split(request) {
		s := data.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0]
		e[fmt.Sprintf("%x/%x", s.GetTraceId(), s.GetSpanId())] = data
	}
}

// assertEqual checks that the lake has these spans, each once and nothing of it changed, and no others.
func (e expected) assertEqual(p place) {
	p.t.Helper()
	found := make(map[string]bool)
	wrong := 0
	for _, s := range p.lakeSpans() {
		id := s.TraceID + "/" + s.SpanID
		want, ok := e[id]
		if !ok || found[id] {
			p.t.Errorf("the span %s is in the lake a second time, or nobody sent it", id)
			continue
		}
		found[id] = true
		encoded, err := otlpwire.Encode(&s)
		if err != nil {
			p.t.Errorf("%s: %v", id, err)
			continue
		}
		got := &tracepb.TracesData{}
		if err := proto.Unmarshal(encoded, got); err != nil {
			p.t.Errorf("%s: %v", id, err)
			continue
		}
		if otlpgen.Equal(got, want) {
			continue
		}
		if wrong++; wrong <= 3 {
			p.t.Errorf("the span %s is another one than was sent (-want +got):\n%s\nas sent: %s", id,
				cmp.Diff(want, got, protocmp.Transform()), prototext.Format(want))
		}
	}
	if wrong > 0 || len(found) != len(e) {
		p.t.Errorf("of %d spans %d are in the lake, %d of them changed", len(e), len(found), wrong)
	}
}

// Whatever comes in as OTLP comes out of the Parquet files equal, over either transport, and DuckDB reads the same.
func TestEveryOTLPSpanComesOutEqual(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.serve()
	c := r.dial()
	seed := int(time.Now().UnixNano() >> 10 & 0xffffff)
	t.Logf("the seed is %d", seed)
	requests := rapid.Custom(otlpgen.Request)
	sent := make(expected)
	for i := range 400 {
		request := unique(requests.Example(seed+i), uint64(i))
		sent.add(request)
		switch i % 5 {
		case 0:
			r.send(c, request)
		case 1:
			if _, err := c.Export(t.Context(), request, grpc.UseCompressor(grpcgzip.Name)); err != nil {
				t.Fatal(err)
			}
		case 2:
			if err := r.postSpans(t.Context(), request); err != nil {
				t.Fatal(err)
			}
		case 3:
			r.postPacked(request, "gzip", zipped)
		default:
			r.postPacked(request, "zstd", zstandard)
		}
		if i%150 == 0 {
			r.flush()
		}
	}
	r.flush()
	r.untilEmpty()
	if len(sent) < 200 {
		t.Errorf("only %d spans were sent", len(sent))
	}
	sent.assertEqual(p)
	r.untilHas("all files", int64(len(p.lakeFiles())), int64(len(sent)))
	p.assertDuckDBReads()
	p.must("verify")
	r.stop()
	p.assertSound()
}

// unique gives the spans of a request trace ids that no other request has.
func unique(request *collector.ExportTraceServiceRequest, number uint64) *collector.ExportTraceServiceRequest {
	for _, rs := range request.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				id := numbered(number + 1)
				copy(s.TraceId[8:], id[:])
			}
		}
	}
	return request
}

func (r *running) postPacked(request *collector.ExportTraceServiceRequest, encoding string, pack func([]byte) []byte) {
	r.t.Helper()
	got, err := r.post(r.t.Context(), bytes.NewReader(pack(marshal(r.t, request))), "Content-Encoding", encoding)
	if err != nil || got.code != http.StatusOK {
		r.t.Fatalf("%d, %v, %q", got.code, err, got.body)
	}
}

func zstandard(data []byte) []byte { return must(zstd.NewWriter(nil)).EncodeAll(data, nil) }

func marshal(t *testing.T, message proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func zipped(data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(data) // into memory
	_ = w.Close()
	return out.Bytes()
}

// JSON, as browsers send it, has the same spans. It is made by the Collector's own encoder.
func TestJSONComesOutEqual(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.ingest()
	request := withAttributes(7, stringValue("text", "\u00fc\u2028\x00\"\\"), stringValue("empty", ""), nested(5),
		&commonpb.KeyValue{Key: "int", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: math.MaxInt64}}},
		&commonpb.KeyValue{Key: "whole", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 2}}},
		&commonpb.KeyValue{Key: "infinite", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: math.Inf(-1)}}},
		&commonpb.KeyValue{Key: "bytes", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255, 1}}}},
		&commonpb.KeyValue{Key: "yes", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}})
	s := request.ResourceSpans[0].ScopeSpans[0].Spans[0]
	s.ParentSpanId, s.TraceState, s.Flags, s.DroppedEventsCount = s.SpanId, "a=b", 257, 3
	s.Events = []*tracepb.Span_Event{{TimeUnixNano: math.MaxUint64, Name: "e", Attributes: []*commonpb.KeyValue{stringValue("k", "v")}}}
	s.Links = []*tracepb.Span_Link{{TraceId: s.TraceId, SpanId: s.SpanId, TraceState: "c=d", Flags: 1}}
	s.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "no"}

	same := ptraceotlp.NewExportRequest()
	if err := same.UnmarshalProto(marshal(t, request)); err != nil {
		t.Fatal(err)
	}
	text, err := same.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.post(t.Context(), bytes.NewReader(text), "Content-Type", "application/json")
	if err != nil || got.code != http.StatusOK || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %q, %v", got.code, got.body, err)
	}
	r.end(syscall.SIGTERM)
	sent := make(expected)
	sent.add(request)
	sent.assertEqual(p)
}

// assertDuckDBReads compares what DuckDB reads of the files with what they have. Times are microseconds to DuckDB.
func (p place) assertDuckDBReads() {
	p.t.Helper()
	query := fmt.Sprintf(`SELECT trace_id, span_id, coalesce(parent_span_id, '') AS parent_span_id, service_name, name, span_kind, epoch_us(start_time) AS start_us,
		epoch_us(end_time) AS end_us, duration_ns, status_code, coalesce(status_message, '') AS status_message, attributes, events, resource_attributes,
		json_valid(attributes) AND json_valid(events) AND json_valid(resource_attributes) AS valid
		FROM read_parquet('%s', hive_partitioning = false)`, filepath.Join(p.lake, "*", "*", "*", "*.parquet"))
	type row struct {
		TraceID      string `json:"trace_id"`
		SpanID       string `json:"span_id"`
		ParentSpanID string `json:"parent_span_id"`
		ServiceName  string `json:"service_name"`
		Name         string `json:"name"`
		Kind         int    `json:"span_kind"`
		Start        int64  `json:"start_us"`
		End          int64  `json:"end_us"`
		Duration     int64  `json:"duration_ns"`
		StatusCode   int    `json:"status_code"`
		Message      string `json:"status_message"`
		Attributes   string `json:"attributes"`
		Events       string `json:"events"`
		Resource     string `json:"resource_attributes"`
		Valid        bool   `json:"valid"`
	}
	want := make(map[row]int)
	for _, s := range p.lakeSpans() {
		want[row{s.TraceID, s.SpanID, s.ParentSpanID, s.ServiceName, s.Name, int(s.Kind), s.StartTime.UnixMicro(), s.EndTime.UnixMicro(),
			s.EndTime.Sub(s.StartTime).Nanoseconds(), int(s.StatusCode), s.StatusMessage, s.Attributes, s.Events, s.ResourceAttributes, true}]++
	}
	rows := decode[[]row](p.t, p.must("sql", "--json", query))
	if len(rows) == 0 || len(rows) != len(want) {
		p.t.Errorf("DuckDB reads %d spans, and the files have %d", len(rows), len(want))
	}
	wrong := 0
	for _, got := range rows {
		if want[got] == 1 {
			continue
		}
		if wrong++; wrong <= 3 {
			text, _ := json.Marshal(got) // for people
			p.t.Errorf("DuckDB reads a span that the files do not have so: %s", text)
			for w := range want {
				if w.TraceID == got.TraceID && w.SpanID == got.SpanID {
					p.t.Errorf("(-want +got)\n%s", cmp.Diff(w, got))
				}
			}
		}
	}
	indexed := strings.Fields(p.must("sql", "--csv", "SELECT count(*) AS n, count(DISTINCT (trace_id, span_id)) AS ids FROM span_metadata"))
	if want := fmt.Sprintf("%d,%d", len(rows), len(rows)); len(indexed) != 2 || indexed[1] != want {
		p.t.Errorf("the index has %q, want %s", indexed, want)
	}
}
