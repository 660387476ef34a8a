package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// answering is a client of a server that answers anything.
func answering(t *testing.T, instance string, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, instance)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// send writes an answer.
func send(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

func ignore([]string) error { return nil }

func ignoreRow([]*string) error { return nil }

func TestAddresses(t *testing.T) {
	for address, good := range map[string]bool{
		"http://127.0.0.1:8080": true, "https://traces.example.com/": true, "http://[::1]:80/spanlake": true,
		"": false, "127.0.0.1:8080": false, "localhost:8080": false, "http://": false, "http://:80": false, "ftp://x": false, "http://u:secret@x": false,
		"http://x?y": false, "http://x#y": false, "http://x:port": false,
	} {
		_, err := client.New(address, "")
		if (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error has the password: %v", address, err)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	_ = listener.Close()
	c, err := client.New(address, "one")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Services(t.Context())
	var unreachable *client.UnreachableError
	if !errors.As(err, &unreachable) || unreachable.URL != address || !strings.Contains(err.Error(), "spanlake backend") {
		t.Errorf("services: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Services(ctx); !errors.Is(err, context.Canceled) || errors.As(err, &unreachable) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAnAnswerOfSomebodyElse(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a page":     {func(w http.ResponseWriter, _ *http.Request) { send(w, "<html>") }, "not complete"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, "302 Found is no answer of spanlake"},
		"a gateway":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "502 Bad Gateway is no answer of spanlake"},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			send(w, "[")
		}, "not complete"},
		"a broken reason": {broken, "reason cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := answering(t, "", tc.handler).Services(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if _, err := answering(t, "one", tc.handler).Services(t.Context()); !errors.Is(err, client.ErrOtherInstance) {
				t.Errorf("a client that wants an instance: %v", err)
			}
		})
	}
}

// A server that is asked for what only another role has is not taken for a broken one.
func TestAServerOfAnotherRole(t *testing.T) {
	c := answering(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", wire.ProblemType)
		w.WriteHeader(http.StatusNotFound)
		send(w, `{"status":404,"detail":"there is no /api/v1/flush"}`)
	})
	if _, err := c.Flush(t.Context()); !errors.Is(err, client.ErrOtherRole) {
		t.Errorf("Flush() = %v, want ErrOtherRole", err)
	}
}

// A key is in every request, and in nothing that anybody reads.
func TestTheKey(t *testing.T) {
	const key = "a-key-of-somebody"
	var got []string
	c := answering(t, "", func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(http.StatusFound)
	})
	_, err := c.Services(t.Context())
	c.Authorize(key)
	for _, ask := range []func() error{
		func() error { _, err := c.Services(t.Context()); return err },
		func() error { _, err := c.Flush(t.Context()); return err },
		func() error { return c.Select(t.Context(), "q", span.FormText, ignore, ignoreRow) },
		func() error { _, err := c.Verify(t.Context(), func(span.Difference) {}); return err },
	} {
		err = errors.Join(err, ask())
	}
	if err == nil || strings.Contains(err.Error(), key) {
		t.Errorf("the errors are %v", err)
	}
	const bearer = "Bearer " + key
	if want := []string{"", bearer, bearer, bearer, bearer}; !slices.Equal(got, want) {
		t.Errorf("the server got %q, want %q", got, want)
	}
}

func broken(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", wire.ProblemType)
	w.WriteHeader(http.StatusInternalServerError)
	send(w, "{")
}

func TestStreamsThatAreNotWhole(t *testing.T) {
	const columns = `{"columns":["a"]}` + "\n"
	for name, tc := range map[string]struct{ stream, want string }{
		"whole":                       {columns + `{"row":["x"]}` + "\n" + `{"end":{"rows":1}}` + "\n", ""},
		"whole, of a later version":   {columns + `{"row":["x"],"note":1}` + "\n" + `{"end":{"rows":1,"bytes":7}}` + "\n", ""},
		"nothing":                     {"", "without its last line"},
		"no end":                      {columns + `{"row":["x"]}` + "\n", "without its last line"},
		"half a last line":            {columns + `{"end":{"rows":0}}`, "without its last line"},
		"a row is missing":            {columns + `{"end":{"rows":1}}` + "\n", "without its last line"},
		"no count":                    {columns + `{"end":{}}` + "\n", "without its last line"},
		"another count":               {columns + `{"end":{"differences":0}}` + "\n", "without its last line"},
		"no columns":                  {`{"end":{"rows":0}}` + "\n", "without its last line"},
		"a row before the columns":    {`{"row":["x"]}` + "\n", "where it cannot be"},
		"some of the rows only":       {columns + `{"row":["x"]}` + "\n" + `{"end":{"rows":1,"truncated":true}}` + "\n", "all were asked for"},
		"columns twice":               {columns + columns, "where it cannot be"},
		"another number of values":    {columns + `{"row":["x","y"]}` + "\n", "where it cannot be"},
		"a row of the other form":     {columns + `{"object":{}}` + "\n", "where it cannot be"},
		"a line of a verify":          {columns + `{"difference":{}}` + "\n", "where it cannot be"},
		"more after the end":          {columns + `{"end":{"rows":0}}` + "\n\n", "goes on after"},
		"no JSON":                     {columns + "<html>\n", "invalid character"},
		"an empty line":               {columns + "\n", "unexpected end"},
		"a kind that is not known":    {columns + `{"hello":1}` + "\n", "none that this version knows"},
		"two kinds at once":           {columns + `{"row":["x"],"end":{"rows":1}}` + "\n", "none that this version knows"},
		"an error that is a question": {columns + `{"error":{"type":"` + wire.TypeQuery + `","detail":"no table x"}}` + "\n", "no table x"},
	} {
		t.Run(name, func(t *testing.T) {
			c := answering(t, "", func(w http.ResponseWriter, _ *http.Request) { send(w, tc.stream) })
			err := c.Select(t.Context(), "q", span.FormText, ignore, ignoreRow)
			if (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			var query *span.QueryError
			if errors.As(err, &query) != (name == "an error that is a question") {
				t.Errorf("an error of the query: %v", err)
			}
		})
	}
	c := answering(t, "", func(w http.ResponseWriter, _ *http.Request) { send(w, `{"end":{"differences":1}}`+"\n") })
	if _, err := c.Verify(t.Context(), func(span.Difference) {}); err == nil {
		t.Error("a difference is missing, and nobody says so")
	}
}

// TestALongRowIsWhole: it is longer than the buffer that lines are read with.
func TestALongRowIsWhole(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	c := answering(t, "", func(w http.ResponseWriter, _ *http.Request) {
		send(w, "{\"columns\":[\"a\"]}\n{\"row\":[\""+long+"\"]}\n{\"row\":[\"y\"]}\n{\"end\":{\"rows\":2}}\n")
	})
	var got []string
	err := c.Select(t.Context(), "q", span.FormText, ignore, func(row []*string) error {
		got = append(got, *row[0])
		return nil
	})
	if err != nil || len(got) != 2 || got[0] != long || got[1] != "y" {
		t.Errorf("%d rows, %v", len(got), err)
	}
}
