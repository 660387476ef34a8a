package otlp

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/span"
)

// answer is what came back over HTTP.
type httpAnswer struct {
	code   int
	header http.Header
	body   []byte
	// closed: the server closes the connection.
	closed bool
}

// send sends a request over HTTP. Headers are names and values in turn.
func send(t testing.TB, method, url string, body io.Reader, headers ...string) httpAnswer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer := httpAnswer{code: response.StatusCode, header: response.Header, closed: response.Close}
	if answer.body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return answer
}

// export sends a body to where traces go.
func export(t testing.TB, r *running, media string, body []byte, headers ...string) httpAnswer {
	t.Helper()
	return send(t, http.MethodPost, r.url(tracesPath), bytes.NewReader(body), append([]string{"Content-Type", media}, headers...)...)
}

// status decodes the body of a refusal.
func (a httpAnswer) status(t testing.TB) *spb.Status {
	t.Helper()
	said := &spb.Status{}
	var err error
	switch a.header.Get("Content-Type") {
	case contentProtobuf:
		err = proto.Unmarshal(a.body, said)
	case contentJSON:
		err = protojson.Unmarshal(a.body, said)
	default:
		said.Message = string(a.body)
	}
	if err != nil {
		t.Fatalf("the body is no Status: %v: %q", err, a.body)
	}
	return said
}

// packed compresses as clients do.
func packed(t testing.TB, encoding string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var to io.WriteCloser
	var err error
	switch encoding {
	case "", "identity":
		return data
	case "gzip":
		to = gzip.NewWriter(&out)
	case "zstd":
		to, err = zstd.NewWriter(&out)
	case "zstd in one frame":
		encoder, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return encoder.EncodeAll(data, nil)
	case "deflate":
		to = zlib.NewWriter(&out)
	case "x-snappy-framed":
		to = snappy.NewBufferedWriter(&out)
	case "snappy":
		return snappy.Encode(nil, data)
	default:
		t.Fatal(encoding)
	}
	if err == nil {
		_, err = to.Write(data)
	}
	if err == nil {
		err = to.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func encodings() []string {
	return []string{"", "identity", "gzip", "zstd", "zstd in one frame", "deflate", "snappy", "x-snappy-framed"}
}

func TestHTTPTakesSpans(t *testing.T) {
	for _, encoding := range encodings() {
		for _, media := range []string{contentProtobuf, contentJSON, contentJSON + "; charset=utf-8"} {
			for _, spans := range []int{0, 1, 3_000} {
				t.Run(fmt.Sprintf("%d spans as %s in %q", spans, media, encoding), func(t *testing.T) {
					r := start(t, nil)
					request := spansOf(spans)
					body := encoded(t, request)
					if media != contentProtobuf {
						var err error
						if body, err = request.MarshalJSON(); err != nil {
							t.Fatal(err)
						}
					}
					var headers []string
					if name, _, _ := strings.Cut(encoding, " "); name != "" {
						headers = []string{"Content-Encoding", name}
					}
					got := export(t, r, media, packed(t, encoding, body), headers...)
					if got.code != http.StatusOK || !strings.HasPrefix(media, got.header.Get("Content-Type")) {
						t.Fatalf("got %d %s: %q", got.code, got.header.Get("Content-Type"), got.body)
					}
					if want := map[bool]string{false: "{}", true: ""}[media == contentProtobuf]; strings.TrimSpace(string(got.body)) != want &&
						string(got.body) != `{"partialSuccess":{}}` && len(got.body) > 2 {
						t.Errorf("the answer is %q, want an empty response", got.body)
					}
					if names := r.shelf.names(t); len(names) != spans || r.shelf.spans != spans || spans > 0 && names[spans-1] != fmt.Sprint("span-", spans-1) {
						t.Errorf("%d spans arrived, %d were announced to the sink", len(names), r.shelf.spans)
					}
				})
			}
		}
	}
}

func TestPartialSuccessOverHTTP(t *testing.T) {
	r := start(t, nil)
	response := ptraceotlp.NewExportResponse()
	if err := response.UnmarshalProto(export(t, r, contentProtobuf, flawed(t)).body); err != nil {
		t.Fatal(err)
	}
	if partial := response.PartialSuccess(); partial.RejectedSpans() != 1 || partial.ErrorMessage() == "" {
		t.Errorf("protobuf: %d rejected, %q", partial.RejectedSpans(), partial.ErrorMessage())
	}
	inJSON := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"","name":"a"},
		{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"b"}]}]}]}`
	response = ptraceotlp.NewExportResponse()
	if err := response.UnmarshalJSON(export(t, r, contentJSON, []byte(inJSON)).body); err != nil {
		t.Fatal(err)
	}
	if partial := response.PartialSuccess(); partial.RejectedSpans() != 1 || partial.ErrorMessage() == "" {
		t.Errorf("JSON: %d rejected, %q", partial.RejectedSpans(), partial.ErrorMessage())
	}
	if names := r.shelf.names(t); !slices.Equal(names, []string{"span-0", "span\ufffd2", "b"}) {
		t.Errorf("stored %q", names)
	}
}

func TestHTTPRefusals(t *testing.T) {
	const limit = 1 << 20
	r := start(t, func(o *Options) { o.MaxRequestBytes, o.InFlightBytes = limit, 32<<20 })
	zeros := make([]byte, limit+1)
	wide := []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Repeat("{},", 150_000) + "{}]}]}]}")
	// A frame of zstd that asks for a window of 64 MiB and holds nothing.
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 16 << 3, 1, 0, 0}
	for name, tc := range map[string]struct {
		method, path, media, encoding string
		body                          []byte
		want                          int
		code                          codes.Code
		text                          string
	}{
		"another path":           {"POST", "/v2/traces", contentProtobuf, "", nil, 404, codes.NotFound, "/v1/traces"},
		"the root":               {"GET", "/", "", "", nil, 404, codes.NotFound, "/v1/traces"},
		"metrics":                {"POST", "/v1/metrics", contentProtobuf, "", zeros, 404, codes.Unimplemented, "metrics are not taken"},
		"logs":                   {"POST", "/v1/logs", contentJSON, "", zeros, 404, codes.Unimplemented, "logs are not taken"},
		"another method":         {"GET", tracesPath, "", "", nil, 405, codes.Unimplemented, "POST"},
		"no content type":        {"POST", tracesPath, "", "", nil, 415, codes.InvalidArgument, contentProtobuf},
		"another content type":   {"POST", tracesPath, "application/xml", "", nil, 415, codes.InvalidArgument, contentProtobuf},
		"gRPC on the wrong port": {"POST", tracesPath, "application/grpc", "", nil, 415, codes.InvalidArgument, contentProtobuf},
		"broken protobuf":        {"POST", tracesPath, contentProtobuf, "", []byte("\xff\xff"), 400, codes.InvalidArgument, "protobuf"},
		"JSON for protobuf":      {"POST", tracesPath, contentProtobuf, "", []byte("{}"), 400, codes.InvalidArgument, "protobuf"},
		"broken JSON":            {"POST", tracesPath, contentJSON, "", []byte("{"), 400, codes.InvalidArgument, "JSON"},
		"no JSON":                {"POST", tracesPath, contentJSON, "", []byte("hello"), 400, codes.InvalidArgument, "JSON"},
		"JSON that nests": {"POST", tracesPath, contentJSON, "", []byte(strings.Repeat(`{"a":[`, 100_000)), 400,
			codes.InvalidArgument, "deep"},
		"JSON that grows":        {"POST", tracesPath, contentJSON, "", wide, 413, codes.ResourceExhausted, "smaller requests"},
		"an unknown encoding":    {"POST", tracesPath, contentProtobuf, "br", nil, 415, codes.Unimplemented, "gzip"},
		"two encodings":          {"POST", tracesPath, contentProtobuf, "gzip, gzip", nil, 415, codes.Unimplemented, "gzip"},
		"no gzip":                {"POST", tracesPath, contentProtobuf, "gzip", []byte("hello"), 400, codes.InvalidArgument, "gzip"},
		"no zstd":                {"POST", tracesPath, contentProtobuf, "zstd", []byte("hello"), 400, codes.InvalidArgument, "zstd"},
		"no deflate":             {"POST", tracesPath, contentProtobuf, "deflate", []byte("hello"), 400, codes.InvalidArgument, "deflate"},
		"no snappy":              {"POST", tracesPath, contentProtobuf, "snappy", []byte("\x05hello"), 400, codes.InvalidArgument, "snappy"},
		"a large window":         {"POST", tracesPath, contentProtobuf, "zstd", window, 400, codes.InvalidArgument, "8.0 MiB"},
		"snappy announces 4 GiB": {"POST", tracesPath, contentProtobuf, "snappy", []byte("\xff\xff\xff\xff\x0f"), 413, codes.ResourceExhausted, "1.0 MiB"},
		"too large":              {"POST", tracesPath, contentProtobuf, "", zeros, 413, codes.ResourceExhausted, "1.0 MiB"},
		"a gzip bomb":            {"POST", tracesPath, contentProtobuf, "gzip", packed(t, "gzip", make([]byte, 8<<20)), 413, codes.ResourceExhausted, "1.0 MiB"},
		"a zstd bomb":            {"POST", tracesPath, contentProtobuf, "zstd", packed(t, "zstd", make([]byte, 8<<20)), 413, codes.ResourceExhausted, "1.0 MiB"},
		"a JSON bomb":            {"POST", tracesPath, contentJSON, "gzip", packed(t, "gzip", make([]byte, 8<<20)), 413, codes.ResourceExhausted, "1.0 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if tc.media != "" {
				headers = append(headers, "Content-Type", tc.media)
			}
			if tc.encoding != "" {
				headers = append(headers, "Content-Encoding", tc.encoding)
			}
			// The length is not announced, so that it is found while reading.
			got := send(t, tc.method, r.url(tc.path), struct{ io.Reader }{bytes.NewReader(tc.body)}, headers...)
			said := got.status(t)
			if got.code != tc.want || !strings.Contains(said.GetMessage(), tc.text) {
				t.Errorf("got %d %q, want %d with %q", got.code, said.GetMessage(), tc.want, tc.text)
			}
			if otlpMedia := tc.media == contentProtobuf || tc.media == contentJSON; otlpMedia &&
				(got.header.Get("Content-Type") != tc.media || codes.Code(said.GetCode()) != tc.code) {
				t.Errorf("got %s with code %v, want %v in the encoding of the request", got.header.Get("Content-Type"), said.GetCode(), tc.code)
			}
			if got.header.Get("Retry-After") != "" {
				t.Error("has a Retry-After: the client sends it for ever")
			}
		})
	}
	t.Run("too large, and says so", func(t *testing.T) {
		if got := export(t, r, contentProtobuf, zeros); got.code != 413 {
			t.Errorf("got %d", got.code)
		}
	})
	if len(r.shelf.requests) > 0 {
		t.Error("something was stored")
	}
	if strings.Count(r.logged.String(), "sends metrics") != 1 || strings.Contains(r.logged.String(), "level=WARN") || strings.Contains(r.logged.String(), "ERROR") {
		t.Errorf("logged: %s", r.logged)
	}
}

func TestBackpressureOverHTTP(t *testing.T) {
	r := start(t, nil)
	r.shelf.refuseWith(func(context.Context) error {
		return &span.RefusedError{Reason: "disk", RetryAfter: 2500 * time.Millisecond, Err: errBroken}
	})
	for _, media := range []string{contentProtobuf, contentJSON} {
		body := encoded(t, spansOf(1))
		if media == contentJSON {
			var err error
			if body, err = spansOf(1).MarshalJSON(); err != nil {
				t.Fatal(err)
			}
		}
		got := export(t, r, media, body)
		said := got.status(t)
		if got.code != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "3" || codes.Code(said.GetCode()) != codes.Unavailable {
			t.Errorf("%s: got %d, Retry-After %q, %v", media, got.code, got.header.Get("Retry-After"), said)
		}
		var info errdetails.RetryInfo
		if len(said.GetDetails()) != 1 || said.GetDetails()[0].UnmarshalTo(&info) != nil || info.GetRetryDelay().AsDuration() != 2500*time.Millisecond {
			t.Errorf("%s: details %v", media, said.GetDetails())
		}
		if got.closed {
			t.Error("the connection is closed, and the client has to make another to come again")
		}
		if strings.Contains(said.GetMessage(), "secret") {
			t.Errorf("the client is told about the server: %s", said.GetMessage())
		}
	}
}

func TestKeysOverHTTP(t *testing.T) {
	const key = "sl_correcthorsebatterystaple"
	r := start(t, func(o *Options) { o.Keys, o.CORSOrigins = oneKey(key), []string{"https://shop.example"} })
	body := encoded(t, spansOf(1))
	for name, tc := range map[string]struct {
		headers []string
		want    int
	}{
		"no key":     {nil, 401},
		"bearer":     {[]string{"Authorization", "Bearer " + key}, 200},
		"own header": {[]string{"X-Junjo-Api-Key", key}, 200},
		"wrong":      {[]string{"Authorization", "Bearer no"}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			got := export(t, r, contentProtobuf, body, append(tc.headers, "Origin", "https://shop.example")...)
			if got.code != tc.want {
				t.Fatalf("got %d, want %d", got.code, tc.want)
			}
			if got.header.Get("Access-Control-Allow-Origin") != "https://shop.example" {
				t.Error("a page cannot read the answer")
			}
			if tc.want == 401 && (!strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") || codes.Code(got.status(t).GetCode()) != codes.Unauthenticated) {
				t.Errorf("got %v, %q", got.header, got.body)
			}
		})
	}
	t.Run("before the body", func(t *testing.T) {
		conn := dialTCP(t, r)
		begin(t, conn, "Content-Length: 1000000\r\n\r\n")
		if line := readLine(t, conn); !strings.Contains(line, " 401 ") {
			t.Errorf("got %q", line)
		}
	})
	t.Run("a browser asks first", func(t *testing.T) {
		got := send(t, http.MethodOptions, r.url(tracesPath), nil, "Origin", "https://shop.example", "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization,content-type")
		if got.code/100 != 2 || got.header.Get("Access-Control-Allow-Origin") != "https://shop.example" ||
			!strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "authorization") {
			t.Errorf("got %d %v", got.code, got.header)
		}
		got = send(t, http.MethodOptions, r.url(tracesPath), nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
		if got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Error("any page may send spans")
		}
	})
	if strings.Contains(r.logged.String(), key) {
		t.Error("the key is logged")
	}
}

func dialTCP(t testing.TB, r *running) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.HTTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// begin sends the begin of a request, whose last headers and body are given.
func begin(t testing.TB, conn net.Conn, rest string) {
	t.Helper()
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n%s", tracesPath, contentProtobuf, rest); err != nil {
		t.Fatal(err)
	}
}

// readLine reads the first line of an answer.
func readLine(t testing.TB, conn net.Conn) string {
	t.Helper()
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(answer[:n]), "\r\n")
	return line
}

// TestSlowRequestsOverHTTP sends requests that never end, and one that is cut.
func TestSlowRequestsOverHTTP(t *testing.T) {
	r := start(t, func(o *Options) { o.ReadTimeout = 200 * time.Millisecond })
	for name, head := range map[string]string{
		"announced":  "Content-Length: 1000\r\n\r\nhello",
		"chunked":    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"compressed": "Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n\x1f\x8b\x08",
		"in snappy":  "Content-Encoding: snappy\r\nContent-Length: 1000\r\n\r\n\x64hello",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dialTCP(t, r)
			began := time.Now()
			begin(t, conn, head)
			if line := readLine(t, conn); !strings.Contains(line, " 503 ") {
				t.Errorf("got %q", line)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("the connection is kept: %v", err)
			}
		})
	}
	t.Run("cut", func(t *testing.T) {
		t.Parallel()
		conn := dialTCP(t, r)
		begin(t, conn, "Content-Length: 1000\r\n\r\nhello")
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the request is counted as cut", func() bool { return r.counts.refusals("canceled") == 1 })
	})
}
