package wire_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

func TestPagesStayAsTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		page := span.TracePage{
			Next:         rapid.String().Draw(t, "next"),
			Completeness: anyCompleteness(t),
			Roots:        []span.Metadata{},
		}
		for range rapid.IntRange(0, 3).Draw(t, "roots") {
			page.Roots = append(page.Roots, span.Metadata{
				TraceID: rapid.String().Draw(t, "trace"), SpanID: rapid.String().Draw(t, "span"), ServiceName: rapid.String().Draw(t, "service"),
				Name: rapid.String().Draw(t, "name"), Kind: span.Kind(rapid.Int8().Draw(t, "kind")), StatusCode: span.StatusCode(rapid.Int8().Draw(t, "status")),
				StartTime: time.UnixMicro(rapid.Int64Range(-1<<53, 1<<53).Draw(t, "start")).UTC(),
				EndTime:   time.UnixMicro(rapid.Int64Range(-1<<53, 1<<53).Draw(t, "end")).UTC(), Duration: time.Duration(rapid.Int64().Draw(t, "duration")),
			})
		}
		text, err := json.Marshal(wire.FromTracePage(page))
		if err != nil {
			t.Fatal(err)
		}
		var received wire.TracePage
		if err := json.Unmarshal(text, &received); err != nil {
			t.Fatal(err)
		}
		got, err := received.Span()
		if diff := cmp.Diff(page, got); err != nil || diff != "" {
			t.Fatalf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	})
}

func anyCompleteness(t *rapid.T) span.Completeness {
	return span.Completeness{
		Hot: span.HotSource{
			State:   rapid.SampledFrom([]span.HotState{span.HotOff, span.HotLocal, span.HotRemote, span.HotUnreachable}).Draw(t, "state"),
			Address: rapid.String().Draw(t, "address"), Error: rapid.String().Draw(t, "error"),
		},
		FilesPending: rapid.Int64().Draw(t, "pending"), FilesFailed: rapid.Int64().Draw(t, "failed"),
		Truncated: rapid.Bool().Draw(t, "truncated"), Reason: rapid.String().Draw(t, "reason"),
	}
}

// TestCompletenessIsAHeader: nothing that an error says can end the header, or be read in two ways.
func TestCompletenessIsAHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyCompleteness(t)
		text := wire.CompletenessText(want)
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q is not printable ASCII", text)
		}
		got, err := wire.ParseCompleteness(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	})
	if _, err := wire.ParseCompleteness("<html>"); err == nil {
		t.Error("a page was read as completeness")
	}
}

func TestWordsThatAreNone(t *testing.T) {
	for _, trace := range []wire.Trace{{Kind: "SERVER", StatusCode: "ok"}, {Kind: "server", StatusCode: "2"}, {Kind: "kind(300)", StatusCode: "ok"}, {}} {
		if m, err := trace.Span(); err == nil {
			t.Errorf("%+v became %+v", trace, m)
		}
	}
}
