package span

import (
	"reflect"
	"testing"
	"time"
)

func TestDurationIsTheWallClockDifference(t *testing.T) {
	start := time.Unix(1_795_461_163, 123_456_789)
	for name, tc := range map[string]struct {
		end  time.Time
		want time.Duration
	}{
		"one nanosecond":            {start.Add(1), 1},
		"no time at all":            {start, 0},
		"end before start":          {start.Add(-3 * time.Second), -3 * time.Second},
		"the location is no matter": {start.Add(time.Hour).In(time.FixedZone("", 7200)), time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s := Span{StartTime: start, EndTime: tc.end}
			if got := s.Duration(); got != tc.want {
				t.Errorf("Duration() = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestDurationAgreesWithWhatIsStored(t *testing.T) {
	// Both times carry a monotonic reading; a store keeps only the wall clock.
	s := Span{StartTime: time.Now(), EndTime: time.Now()}
	if got, want := s.Duration(), time.Duration(s.EndTime.UnixNano()-s.StartTime.UnixNano()); got != want {
		t.Errorf("Duration() = %v, the stored times differ by %v", got, want)
	}
}

func TestBytesCountsAllTexts(t *testing.T) {
	empty := (&Span{}).Bytes()
	texts := 0
	for field := range reflect.TypeFor[Span]().Fields() {
		if field.Type.Kind() != reflect.String {
			continue
		}
		texts++
		var s Span
		reflect.ValueOf(&s).Elem().FieldByIndex(field.Index).SetString("12345")
		if got := s.Bytes(); got != empty+5 {
			t.Errorf("%s: %d bytes, want %d", field.Name, got, empty+5)
		}
	}
	if least := int64(texts) * 16; empty < least {
		t.Errorf("a span without texts has %d bytes, less than the %d of its fields", empty, least)
	}
}

func TestIsRoot(t *testing.T) {
	if s := (Span{}); !s.IsRoot() {
		t.Error("a span without a parent is a root")
	}
	if s := (Span{ParentSpanID: "00f067aa0ba902b7"}); s.IsRoot() {
		t.Error("a span with a parent is no root")
	}
}

func TestNames(t *testing.T) {
	for kind, want := range map[Kind]string{
		KindUnspecified: "unspecified", KindInternal: "internal", KindServer: "server", KindClient: "client",
		KindProducer: "producer", KindConsumer: "consumer", 6: "kind(6)", -1: "kind(-1)",
	} {
		if got := kind.String(); got != want {
			t.Errorf("Kind(%d).String() = %q, want %q", int8(kind), got, want)
		}
	}
	for code, want := range map[StatusCode]string{
		StatusUnset: "unset", StatusOK: "ok", StatusError: "error", 3: "status(3)",
	} {
		if got := code.String(); got != want {
			t.Errorf("StatusCode(%d).String() = %q, want %q", int8(code), got, want)
		}
	}
}
