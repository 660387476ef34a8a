package otlpwire_test

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit/otlpgen"
)

// shared is what spans of one ScopeSpans message share.
type shared struct {
	resource, resourceURL, scope, version, scopeAttributes, scopeURL string
	resourceDropped, scopeDropped                                    uint32
	otlp                                                             bool
}

func sharedOf(s *span.Span) shared {
	return shared{s.ResourceAttributes, s.ResourceSchemaURL, s.ScopeName, s.ScopeVersion, s.ScopeAttributes, s.ScopeSchemaURL,
		s.ResourceDroppedAttributesCount, s.ScopeDroppedAttributesCount, s.OTLP != ""}
}

// TestJoinedSpansAreTheSame: what is joined and split again is what it was, in order among those that share a resource and scope, and
// a resource or scope is said once.
func TestJoinedSpansAreTheSame(t *testing.T) {
	check(t, func(t *rapid.T) {
		clean, _, err := otlpwire.Clean(marshal(t, otlpgen.Request(t)), otlpwire.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		spans := convert(t, &otlpwire.Converter{}, clean)
		data, left := otlpwire.Join(spans)
		if len(left) > 0 {
			t.Fatalf("left out: %v", left)
		}
		again, err := otlpwire.Split(data)
		if err != nil || len(again) != len(spans) {
			t.Fatalf("%d spans became %d: %v", len(spans), len(again), err)
		}
		for _, one := range spans {
			same := func(other span.Span) bool { return sharedOf(&other) != sharedOf(&one) }
			want, got := slices.DeleteFunc(slices.Clone(spans), same), slices.DeleteFunc(slices.Clone(again), same)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
		}
		checkNothingTwice(t, data)
	})
}

// checkNothingTwice fails if a resource is in two places, or a scope in one resource.
func checkNothingTwice(t rapid.TB, data []byte) {
	t.Helper()
	var message tracepb.TracesData
	if err := proto.Unmarshal(data, &message); err != nil {
		t.Fatal(err)
	}
	resources := map[string]bool{}
	for _, r := range message.GetResourceSpans() {
		key := r.GetSchemaUrl() + "\x00" + messageText(t, r.GetResource())
		if resources[key] {
			t.Fatalf("a resource is there twice: %q", key)
		}
		resources[key] = true
		scopes := map[string]bool{}
		for _, s := range r.GetScopeSpans() {
			key := s.GetSchemaUrl() + "\x00" + messageText(t, s.GetScope())
			if scopes[key] {
				t.Fatalf("a scope is there twice: %q", key)
			}
			scopes[key] = true
		}
	}
}

// messageText is a message as text; one that is not there differs from an empty one.
func messageText(t rapid.TB, m proto.Message) string {
	if !m.ProtoReflect().IsValid() {
		return "none"
	}
	return "some " + string(marshal(t, m))
}

func TestJoinLeavesOutWhatOTLPCannotSay(t *testing.T) {
	good, bad, worse := foreign(), foreign(), foreign()
	bad.TraceID, worse.Attributes = "trace/1", "[]"
	data, left := otlpwire.Join([]span.Span{bad, good, worse})
	if spans, err := otlpwire.Split(data); err != nil || len(spans) != 1 || spans[0].TraceID != good.TraceID {
		t.Errorf("%+v, %v", spans, err)
	}
	if len(left) != 2 {
		t.Fatalf("left out: %v", left)
	}
	for i, column := range []string{"trace_id", "attributes"} {
		if e, ok := errors.AsType[*otlpwire.ColumnError](left[i]); !ok || e.Column != column {
			t.Errorf("%v, want column %s", left[i], column)
		}
	}
	if data, left := otlpwire.Join(nil); len(data) != 0 || len(left) != 0 {
		t.Errorf("of nothing: %q %v", data, left)
	}
}

// TestJoinerForgets: an export may have any number of resources, and a span may be large.
func TestJoinerForgets(t *testing.T) {
	var joiner otlpwire.Joiner
	const rounds, size = 500, 64 << 10
	for i := range rounds {
		s := foreign()
		s.ResourceAttributes = `{"a":"` + strconv.Itoa(i) + strings.Repeat("x", size) + `"}`
		if i%100 == 0 {
			s.Attributes = `{"a":"` + strings.Repeat("y", 16<<20) + `"}`
		}
		one := []span.Span{s, s}
		want, _ := otlpwire.Join(one)
		if got, left := joiner.Join(one); len(left) > 0 || !bytes.Equal(got, want) {
			t.Fatalf("round %d: %d bytes, not %d; left out %v", i, len(got), len(want), left)
		}
	}
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	runtime.KeepAlive(&joiner)
	if memory.HeapAlloc > rounds*size/2 {
		t.Errorf("%d bytes are in use", memory.HeapAlloc)
	}
}

func TestSplitRefusesWhatIsMalformed(t *testing.T) {
	if spans, err := otlpwire.Split([]byte(strings.Repeat("\xff", 20))); !errors.Is(err, otlpwire.ErrMalformed) {
		t.Errorf("%v, %v", spans, err)
	}
}
