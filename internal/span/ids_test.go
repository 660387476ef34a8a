package span

import (
	"errors"
	"strings"
	"testing"
)

func TestIDsAreHexDigitsOfTheirLength(t *testing.T) {
	trace, err := ParseTraceID("0123456789abcdefFEDCBA9876543210")
	want := [16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10}
	if err != nil || trace != want {
		t.Errorf("ParseTraceID() = %x, %v", trace, err)
	}
	id, err := ParseSpanID("00f067aa0ba902b7")
	if err != nil || id != [8]byte{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7} {
		t.Errorf("ParseSpanID() = %x, %v", id, err)
	}
	for _, s := range []string{"", "0", "00f067aa0ba902b", "00f067aa0ba902b70", "00f067aa0ba902bg", "ééééééé", strings.Repeat("f", 1<<20)} {
		for what, parse := range map[string]func(string) error{
			"trace id": func(s string) error { _, err := ParseTraceID(s); return err },
			"span id":  func(s string) error { _, err := ParseSpanID(s); return err },
		} {
			err := parse(s)
			var invalid *InvalidError
			if !errors.As(err, &invalid) || invalid.What != what || len(err.Error()) > 200 {
				t.Errorf("%s %.20q: %v, want a short *InvalidError", what, s, err)
			}
		}
	}
}
