// Package client asks a running server what the index knows, with the methods that the index has itself.
//
// A Client is an api.Catalog, an api.Indexer and an api.Ingest, so that a command does not see whether the index is in its own process.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// connectTime is how long a server may take to accept a connection. How long it may take to answer is for the
	// context of each call: a query or a pass over the lake may take minutes.
	connectTime = 5 * time.Second
	// maxAnswer bounds what is read of an answer that is not a stream, and maxProblem of an error.
	maxAnswer  = 256 << 20
	maxProblem = 1 << 20
)

// Client asks one server. Make it with New; its methods may be called at the same time.
type Client struct {
	base     *url.URL
	instance string
	key      string
	http     *http.Client
}

// New makes a client of the server at an address such as http://127.0.0.1:8080. If instance is not empty, answers of any
// other process are errors, and no other process does what it is asked. Nothing is sent yet.
func New(baseURL, instance string) (*Client, error) {
	base, err := url.Parse(baseURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the address of the server: %w", err)
	case base.Scheme != "http" && base.Scheme != "https", base.Hostname() == "":
		return nil, fmt.Errorf("the address of the server is %q: it must be like http://127.0.0.1:8080", baseURL)
	case base.User != nil, base.RawQuery != "", base.Fragment != "":
		return nil, fmt.Errorf("the address of the server is %q: it must have no user, query or fragment", base.Redacted())
	}
	return &Client{base: base, instance: instance, http: &http.Client{
		Transport: &http.Transport{
			// No proxy: the server is on this machine or in its network.
			DialContext:         (&net.Dialer{Timeout: connectTime}).DialContext,
			TLSHandshakeTimeout: connectTime,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true, // it would hold back rows of a stream
		},
		// The server redirects nobody, so a redirect is of somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Authorize has all requests carry an API key; "" is none. It must be called before the first one.
func (c *Client) Authorize(key string) { c.key = key }

// Close closes connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Services lists the services that sent spans.
func (c *Client) Services(ctx context.Context) ([]span.Service, error) {
	return get[[]span.Service](ctx, c, "/services", nil)
}

// Files lists the indexed files, the ones indexed last first.
func (c *Client) Files(ctx context.Context, limit int) ([]span.IndexedFile, error) {
	return get[[]span.IndexedFile](ctx, c, "/files", url.Values{"limit": {strconv.Itoa(limit)}})
}

// Failed lists the files that could not be indexed.
func (c *Client) Failed(ctx context.Context) ([]span.FailedFile, error) {
	return get[[]span.FailedFile](ctx, c, "/failed", nil)
}

// Retry lets a failed file be tried again. Its error wraps span.ErrNotFailed if the file has not failed.
func (c *Client) Retry(ctx context.Context, path string) error {
	if path == "" {
		return fmt.Errorf("%q %w", path, span.ErrNotFailed)
	}
	_, err := post[wire.Retried](ctx, c, "/failed/retry", wire.RetryRequest{FilePath: path})
	return err
}

// RetryAll lets all failed files be tried again and counts them.
func (c *Client) RetryAll(ctx context.Context) (int64, error) {
	retried, err := post[wire.Retried](ctx, c, "/failed/retry", wire.RetryRequest{All: true})
	return retried.Files, err
}

// Expired lists the files that a policy lets go.
func (c *Client) Expired(ctx context.Context, policy span.RetentionPolicy) ([]span.RetiredFile, error) {
	query := url.Values{"days": {strconv.Itoa(policy.Days)}, "bytes": {strconv.FormatInt(policy.Bytes, 10)}}
	return get[[]span.RetiredFile](ctx, c, "/expired", query)
}

// Size is what the index takes.
func (c *Client) Size(ctx context.Context) (span.IndexSize, error) {
	size, err := get[wire.Size](ctx, c, "/size", nil)
	return span.IndexSize(size), err
}

// Status is what the indexer is doing.
func (c *Client) Status(ctx context.Context) (span.IndexerStatus, error) {
	return get[span.IndexerStatus](ctx, c, "/indexer", nil)
}

// IndexNow runs a whole pass over the lake and waits for it.
func (c *Client) IndexNow(ctx context.Context, acceptMissing bool) (span.Summary, error) {
	summary, err := post[wire.Summary](ctx, c, "/indexer/index", wire.IndexRequest{AcceptMissing: acceptMissing})
	return summary.Span(), err
}

// IngestStatus is what takes spans in is doing.
func (c *Client) IngestStatus(ctx context.Context) (span.IngestStatus, error) {
	return get[span.IngestStatus](ctx, c, "/ingest", nil)
}

// Flush moves all spans that are in no file yet into the lake.
func (c *Client) Flush(ctx context.Context) (span.Flushed, error) {
	return post[span.Flushed](ctx, c, "/flush", nil)
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return call[T](ctx, c, http.MethodGet, path, query, nil)
}

func post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	return call[T](ctx, c, http.MethodPost, path, nil, body)
}

func call[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (T, error) {
	answer, _, err := callWithHeader[T](ctx, c, method, path, query, body)
	return answer, err
}

// callWithHeader is call for those who need the header of the answer as well.
func callWithHeader[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (T, http.Header, error) {
	var none, answer T
	response, err := c.ask(ctx, method, path, query, body)
	if err != nil {
		return none, nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil {
		return none, nil, c.cut(ctx, err)
	}
	return answer, response.Header, nil
}

// accept asks for a media type.
func accept(media string) func(http.Header) {
	return func(h http.Header) { h.Set("Accept", media) }
}

// ask sends a request. The response is one of success; the caller closes its body.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, body any, change ...func(http.Header)) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", c.base, err)
		}
		content = bytes.NewReader(text)
	}
	target := c.base.JoinPath(wire.Prefix, path)
	target.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, target.String(), content)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.base, err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.instance != "" {
		request.Header.Set(wire.InstanceHeader, c.instance)
	}
	if c.key != "" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}
	for _, set := range change {
		set(request.Header)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if err := c.refused(response); err != nil {
		_ = response.Body.Close() // it was only read
		if ctx.Err() != nil {
			return nil, c.cut(ctx, ctx.Err())
		}
		return nil, err
	}
	return response, nil
}

// unreachable is the error of a request that was not answered.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("ask %s: %w", c.base, ctx.Err())
	}
	// It names the method and the URL, which UnreachableError does as well.
	if named, ok := errors.AsType[*url.Error](err); ok {
		err = named.Err
	}
	return &UnreachableError{URL: c.base.String(), Err: err}
}

// cut is the error of an answer that could not be read to its end.
func (c *Client) cut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("ask %s: %w", c.base, ctx.Err())
	}
	return fmt.Errorf("the answer of %s is not complete, since the server ended or is another program: %w", c.base, err)
}

// refused is the error that a response is, or nil.
func (c *Client) refused(response *http.Response) error {
	if c.instance != "" && response.Header.Get(wire.InstanceHeader) != c.instance {
		return fmt.Errorf("%s: %w", c.base, ErrOtherInstance)
	}
	if response.StatusCode == http.StatusOK {
		return nil
	}
	problem := wire.Problem{Status: response.StatusCode, Title: http.StatusText(response.StatusCode)}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || media != wire.ProblemType {
		problem.Detail = fmt.Sprintf("%s is no answer of spanlake: check the address", response.Status)
		return &ServerError{URL: c.base.String(), Problem: problem}
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxProblem))
	if err == nil {
		err = json.Unmarshal(text, &problem)
	}
	if err != nil {
		problem.Detail = fmt.Sprintf("%s, and its reason cannot be read: %v", response.Status, err)
	}
	return c.problem(problem)
}
