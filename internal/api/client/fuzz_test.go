package client

import (
	"bufio"
	"bytes"
	"testing"
)

// FuzzStream reads any bytes as a stream: lines are of exactly one kind and no longer than allowed, and only a stream
// with a last line and nothing after it is whole.
func FuzzStream(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "{}\n", "null\n", "{\"columns\":[\"a\"]}\n{\"row\":[\"x\"]}\n{\"row\":[null]}\n{\"end\":{\"rows\":2}}\n",
		"{\"object\":null}\n{\"object\":{\"a\":1e999}}\n{\"error\":{\"status\":500}}\n", "{\"difference\":{\"check\":\"x\"}}\n{\"end\":{\"differences\":1}}\nx",
		"{\"end\":{\"rows\":1}}", "{\"row\":[1]}\n", "{\"end\":{},\"End\":{}}\n",
	} {
		f.Add([]byte(seed), uint8(20))
	}
	f.Fuzz(func(t *testing.T, stream []byte, buffer uint8) {
		const longest = 100
		r := reader{from: bufio.NewReaderSize(bytes.NewReader(stream), int(buffer)), longest: longest}
		read := 0
		for {
			line, err := r.next()
			if err != nil {
				return
			}
			if read++; read > bytes.Count(stream, []byte("\n")) {
				t.Fatal("more lines than newlines")
			}
			if line.End == nil {
				continue
			}
			if err := r.finish(); (err == nil) != (bytes.Count(stream, []byte("\n")) == read && bytes.HasSuffix(stream, []byte("\n"))) {
				t.Errorf("whole: %v", err)
			}
			return
		}
	})
}
