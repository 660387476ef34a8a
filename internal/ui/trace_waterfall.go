package ui

import (
	"time"

	"github.com/spanlake/spanlake/internal/ui/tracetree"
)

// waterfall are the rows of a trace as columns: less to send and to read than an object for each row. Texts that repeat are in tables.
//
// Times are nanoseconds after the start of the trace. Numbers of JavaScript are exact up to 2^53: a trace that takes longer than 104 days is drawn
// to the microsecond.
type waterfall struct {
	Trace    string        `json:"trace"`
	Duration time.Duration `json:"duration"`
	Names    []string      `json:"names"`
	Services []string      `json:"services"`
	Models   []string      `json:"models"`

	// Columns, by row:

	ID      []string        `json:"id"`
	Parent  []int           `json:"parent"`
	Below   []int           `json:"below"`
	Name    []int           `json:"name"`
	Service []int           `json:"service"`
	Kind    []int           `json:"kind"`
	Status  []int           `json:"status"`
	Marks   []int           `json:"marks"`
	From    []time.Duration `json:"from"`
	Length  []time.Duration `json:"length"`

	// What few rows have, by the number of the row:

	Messages map[int]string          `json:"messages"`
	Parts    map[int][]time.Duration `json:"parts"` // from, until, from, until ... of the critical path
	Tokens   map[int][4]int64        `json:"tokens"`
}

// table numbers texts.
type table struct {
	texts []string
	index map[string]int
}

func (t *table) number(text string) int {
	n, ok := t.index[text]
	if !ok {
		if t.index == nil {
			t.index = make(map[string]int)
		}
		n = len(t.texts)
		t.index[text] = n
		t.texts = append(t.texts, text)
	}
	return n
}

func newWaterfall(id string, tree *tracetree.Tree) *waterfall {
	var names, services, models table
	n := len(tree.Rows)
	w := &waterfall{
		Trace: id, Duration: tree.Duration,
		ID: make([]string, n), Parent: make([]int, n), Below: make([]int, n), Name: make([]int, n), Service: make([]int, n), Kind: make([]int, n),
		Status: make([]int, n), Marks: make([]int, n), From: make([]time.Duration, n), Length: make([]time.Duration, n),
		Messages: make(map[int]string), Parts: make(map[int][]time.Duration), Tokens: make(map[int][4]int64),
	}
	models.number("")
	for i := range tree.Rows {
		r := &tree.Rows[i]
		w.ID[i], w.Parent[i], w.Below[i] = r.Span.SpanID, r.Parent, r.Below
		w.Name[i], w.Service[i] = names.number(cut(r.Span.Name)), services.number(r.Span.ServiceName)
		w.Kind[i], w.Status[i], w.Marks[i] = int(r.Span.Kind), int(r.Span.StatusCode), int(r.Marks)
		w.From[i], w.Length[i] = r.From, r.Span.Duration()
		if r.Span.StatusMessage != "" {
			w.Messages[i] = cut(r.Span.StatusMessage)
		}
		for _, part := range r.Critical {
			w.Parts[i] = append(w.Parts[i], part.From, part.Until)
		}
		if r.Usage != nil {
			w.Tokens[i] = tokensOf(r.Usage, models.number(cut(r.Usage.Model)))
		}
	}
	w.Names, w.Services, w.Models = names.texts, services.texts, models.texts
	return w
}

// tokensOf are the input and output tokens, -1 if they are not told, the number of the model, and 1 if the tokens are in the sum of the trace.
func tokensOf(u *tracetree.Usage, model int) [4]int64 {
	t := [4]int64{-1, -1, int64(model), 0}
	if u.HasTokens {
		t[0], t[1] = u.Input, u.Output
	}
	if u.Counted {
		t[3] = 1
	}
	return t
}
