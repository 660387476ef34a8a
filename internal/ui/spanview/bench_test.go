package spanview

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// BenchmarkView makes the views of spans that are as large as they get.
func BenchmarkView(b *testing.B) {
	var attributes, events strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&attributes, `,"ns%d.key.%d":"value %d"`, i%50, i, i)
	}
	for i := range 1_000 {
		fmt.Fprintf(&events, `,{"name":"e","time_nanos":%d,"attributes":{"a.b":"%s"}}`, i, strings.Repeat("x", 500))
	}
	messages := `[{"role":"user","parts":[{"type":"text","content":"` + strings.Repeat("word \\\\n", 130_000) + `"}]}]`
	for name, s := range map[string]*span.Span{
		"10,000 attributes": {Attributes: `{"a":1` + attributes.String() + `}`},
		"1,000 events":      {Events: `[{"name":"first"}` + events.String() + `]`},
		"1 MB of messages":  {Attributes: `{"gen_ai.input.messages":"` + strings.ReplaceAll(messages, `"`, `\"`) + `"}`},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if v := Of(s, nil); len(v.Problems) > 0 {
					b.Fatalf("%+v", v.Problems[0].Why)
				}
			}
		})
	}
}
