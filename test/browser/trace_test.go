package browser

import (
	"fmt"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// sampleTrace is the id of a trace of the sample with so many spans, some of which failed.
func (s *server) sampleTrace(least, most int) string {
	s.t.Helper()
	failed := span.StatusError
	page, err := s.client.Queries().Traces(s.t.Context(), span.TraceFilter{Root: span.Filter{StatusCode: &failed}}, "", 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, root := range page.Roots {
		spans, _, err := s.client.Queries().Trace(s.t.Context(), root.TraceID)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(spans) >= least && len(spans) <= most {
			return root.TraceID
		}
	}
	s.t.Fatalf("no trace of the sample has %d to %d spans", least, most)
	return ""
}

func TestTracePictures(t *testing.T) {
	s := serve(t, nil)
	s.sample(600)
	id := s.sampleTrace(20, 60)
	b := s.open()
	b.goTo("/traces/" + id)
	b.until("rows", "document.querySelectorAll('.wf-row').length > 10")
	b.picture("trace-light")
	b.expect("404") // until
	b.press("e")
	b.press("\r")
	b.until("the detail", "document.querySelector('.wf-detail-body').childElementCount > 0")
	b.picture("trace-detail-light")
	b.dark(true)
	b.picture("trace-detail-dark")
	b.press("\u001b")
	b.picture("trace-dark")
	b.resize(390, 844)
	b.assertNoOverflow("a trace")
	b.picture("trace-phone")
	fmt.Println(id)
}
