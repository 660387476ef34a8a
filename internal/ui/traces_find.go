package ui

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/ui/spanview"
)

const (
	traceIDDigits = 32
	spanIDDigits  = 16
)

// findID is the page of the trace that somebody has an id of: its own, that of one of its spans, or the traceparent of W3C. What cannot
// be found is a *span.InvalidError, for beside the field.
func (u *UI) findID(ctx context.Context, typed string) (string, error) {
	if err := wire.CheckText(paramID, typed); err != nil {
		return "", err
	}
	id := strings.ToLower(typed)
	if parts := strings.Split(id, "-"); len(parts) == 4 && isHex(parts[1], traceIDDigits) && isHex(parts[2], spanIDDigits) {
		return spanview.Address(parts[1], parts[2]), nil
	}
	if plain := strings.ReplaceAll(id, "-", ""); isHex(plain, traceIDDigits) {
		return spanview.Address(plain, ""), nil
	}
	// What follows reads whole spans, of which there may be much: see wholePage.
	leave, err := u.takeWhole(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	tries := []string{id}
	if id != typed {
		tries = append(tries, typed) // ids of other writers may be anything
	}
	for _, id := range tries {
		to, err := u.findSpan(ctx, id)
		if err == nil || !errors.Is(err, span.ErrNotFound) {
			return to, err
		}
	}
	return "", &span.InvalidError{What: paramID, Value: typed, Problem: "is of no trace and no span that is known here: trace ids are 32 hex digits, span ids 16"}
}

func (u *UI) findSpan(ctx context.Context, id string) (string, error) {
	spans, _, err := u.Queries.SpanByID(ctx, id)
	if err == nil && len(spans) > 0 {
		return spanview.Address(spans[0].TraceID, spans[0].SpanID), nil
	}
	if err != nil && !errors.Is(err, span.ErrNotFound) {
		return "", err
	}
	spans, _, err = u.Queries.Trace(ctx, id)
	if err == nil && len(spans) == 0 {
		err = span.ErrNotFound
	}
	return spanview.Address(id, ""), err
}

func isHex(text string, digits int) bool {
	_, err := hex.DecodeString(text)
	return err == nil && len(text) == digits
}

// openID leads to the trace of an id. Of a failure, search.wrong tells.
func (u *UI) openID(w http.ResponseWriter, r *http.Request, s *search) (done bool, err error) {
	to, err := u.findID(r.Context(), s.typed.Get(paramID))
	if err == nil {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return true, nil
	}
	var invalid *span.InvalidError
	if !errors.As(err, &invalid) {
		return false, err
	}
	invalid.What = paramID
	s.fail(invalid)
	return false, nil
}
