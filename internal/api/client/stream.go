package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// maxLine bounds a line of a stream, and so a row, for which memory is taken before it is known what it is.
const maxLine = 256 << 20

var (
	errNoEnd     = errors.New("the stream ends without its last line")
	errAfterEnd  = errors.New("the stream goes on after its last line")
	errLineKind  = errors.New("a line of the stream is none that this version knows")
	errLineOrder = errors.New("a line of the stream is where it cannot be")
	errTruncated = errors.New("the stream has some of the rows only, and all were asked for")
	errLongLine  = errors.New("a line of the stream is too long")
)

// Select runs a query on the server, and asks for all of its rows: it calls header once, then row for each row, until one of them fails. The error is
// a *span.QueryError if the query is at fault, or what header or row returned.
func (c *Client) Select(ctx context.Context, query string, form span.Form, header func([]string) error, row func([]*string) error) error {
	columns := -1
	rows, all := int64(0), int64(0)
	take := func(values []*string) error {
		if columns < 0 || len(values) != columns {
			return c.cut(ctx, errLineOrder)
		}
		rows++
		return row(values)
	}
	end, err := c.stream(ctx, http.MethodPost, "/sql", wire.SQLRequest{Query: query, Form: wire.Form(form), MaxRows: &all, MaxBytes: &all}, func(line wire.Line) error {
		switch {
		case line.Columns != nil && columns < 0:
			columns = len(*line.Columns)
			return header(*line.Columns)
		case line.Row != nil && form == span.FormText:
			return take(*line.Row)
		case line.Object != nil && form == span.FormJSON:
			return take([]*string{object(line.Object)})
		}
		return c.cut(ctx, errLineOrder)
	})
	if err != nil {
		return err
	}
	switch {
	case columns < 0, end.Rows == nil, *end.Rows != rows:
		return c.cut(ctx, errNoEnd)
	case end.Truncated:
		return c.cut(ctx, errTruncated)
	}
	return nil
}

// object is a row as the index has it: its text, or nil.
func object(raw json.RawMessage) *string {
	text := string(raw)
	if text == "null" {
		return nil
	}
	return &text
}

// Verify calls found for each difference between the index and the lake and counts them.
func (c *Client) Verify(ctx context.Context, found func(span.Difference)) (int, error) {
	differences := 0
	end, err := c.stream(ctx, http.MethodGet, "/verify", nil, func(line wire.Line) error {
		if line.Difference == nil {
			return c.cut(ctx, errLineOrder)
		}
		differences++
		found(*line.Difference)
		return nil
	})
	if err != nil {
		return differences, err
	}
	if end.Differences == nil || *end.Differences != int64(differences) {
		return differences, c.cut(ctx, errNoEnd)
	}
	return differences, nil
}

// stream asks for a stream and gives each of its lines but the last to take. What take returns is returned as it is.
func (c *Client) stream(ctx context.Context, method, path string, body any, take func(wire.Line) error) (wire.End, error) {
	response, err := c.ask(ctx, method, path, nil, body)
	if err != nil {
		return wire.End{}, err
	}
	// A connection that is closed before the end of the stream tells the server to stop.
	defer func() { _ = response.Body.Close() }() // it was only read
	lines := reader{from: bufio.NewReaderSize(response.Body, 64<<10), longest: maxLine}
	for {
		line, err := lines.next()
		switch {
		case err != nil:
			return wire.End{}, c.cut(ctx, err)
		case line.Error != nil:
			return wire.End{}, c.problem(*line.Error)
		case line.End != nil:
			if err := lines.finish(); err != nil {
				return wire.End{}, c.cut(ctx, err)
			}
			return *line.End, nil
		}
		if err := take(line); err != nil {
			return wire.End{}, err
		}
	}
}

// reader reads the lines of a stream.
type reader struct {
	from    *bufio.Reader
	longest int
}

// next is a line of exactly one kind.
func (r *reader) next() (wire.Line, error) {
	text, err := r.text()
	if err != nil {
		return wire.Line{}, err
	}
	var line wire.Line
	if err := json.Unmarshal(text, &line); err != nil {
		return wire.Line{}, fmt.Errorf("read a line of the stream: %w", err)
	}
	kinds := 0
	for _, there := range []bool{line.Columns != nil, line.Row != nil, line.Object != nil, line.Difference != nil, line.End != nil, line.Error != nil} {
		if there {
			kinds++
		}
	}
	if kinds != 1 {
		return wire.Line{}, errLineKind
	}
	return line, nil
}

// text is a line with the newline that ends it. It is valid until the next call.
func (r *reader) text() ([]byte, error) {
	var long []byte
	for {
		part, err := r.from.ReadSlice('\n')
		if len(long)+len(part) > r.longest {
			return nil, errLongLine
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part...)
			continue
		case errors.Is(err, io.EOF):
			return nil, errNoEnd
		case err != nil:
			return nil, err
		case long == nil:
			return part, nil
		}
		return append(long, part...), nil
	}
}

// finish wants the stream to be at its end.
func (r *reader) finish() error {
	switch _, err := r.from.ReadByte(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return errAfterEnd
}
