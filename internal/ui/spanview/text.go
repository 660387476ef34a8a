package spanview

import (
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/spanlake/spanlake/internal/terminal"
)

const (
	// foldLines and foldBytes are how much of a long text is shown before somebody unfolds it.
	foldLines = 12
	foldBytes = 1_000
	// maxText is how much of a text is in the page at all: the API has the whole.
	maxText = 256 << 10
	// These bound what one span takes of a page in all: bytes of texts, nodes of trees, pieces of conversations and changes, and rows of
	// attributes and events.
	pageText   = 2 << 20
	pageNodes  = 6_000
	pagePieces = 1_500
	pageRows   = 2_000
	// leastText is how much of a text is shown even if the page has no room left.
	leastText = 200
	// treeNodes bounds one tree.
	treeNodes = 1_500
	// inlineBytes is how long a JSON value may be to be shown as one line.
	inlineBytes = 80
)

// Text is a text that may be long.
type Text struct {
	// All is the text, or its beginning if Cut.
	All string
	// Head is the beginning of a text that is folded, "" if it is short.
	Head string
	// Size says how long it is.
	Size string
	// Cut: the page has a part of it only; API has all.
	Cut bool
	API string
}

// Body is a value as it is read: a word, a text, or JSON as a tree.
type Body struct {
	// Type is that of the JSON value: string, number, boolean, null, array or object.
	Type string
	// Inline is a short value on one line.
	Inline string
	Text   *Text
	Tree   *Node
	// Raw is the JSON text of the tree.
	Raw *Text
}

// room is what is left of a page for one span.
type room struct {
	text, nodes, pieces, rows int
	// api is where the whole span is.
	api string
}

func newRoom(api string) room {
	return room{text: pageText, nodes: pageNodes, pieces: pagePieces, rows: pageRows, api: api}
}

// piece takes the place of a piece; false: there is none left.
func (r *room) piece() bool {
	r.pieces--
	return r.pieces >= 0
}

// fold makes a text ready to be shown.
func (r *room) fold(text string) *Text {
	t := &Text{All: text}
	lines := strings.Count(text, "\n") + 1
	if most := max(min(maxText, r.text), leastText); len(text) > most {
		t.All, t.Cut, t.API = cut(text, most), true, r.api
	}
	r.text -= len(t.All)
	head := cut(t.All, foldBytes)
	if end := nthLine(head, foldLines); end >= 0 {
		head = head[:end]
	}
	// To hide a line or two is no help to anybody.
	if len(t.All) > len(head)+200 || strings.Count(t.All[len(head):], "\n") > 3 || t.Cut {
		t.Head = head
		t.Size = humanize.Bytes(uint64(len(text)))
		if lines > 1 {
			t.Size = terminal.Count(int64(lines), "line") + ", " + t.Size
		}
	}
	return t
}

// nthLine is where the n-th line of a text ends, -1 if it has fewer.
func nthLine(text string, n int) int {
	at := 0
	for range n {
		next := strings.IndexByte(text[at:], '\n')
		if next < 0 {
			return -1
		}
		at += next + 1
	}
	return at - 1
}

// body is how a value is shown. raw is its JSON text, "" if it is to be made.
func (r *room) body(v *value, raw string) Body {
	b := Body{Type: v.typeName()}
	switch {
	case v.kind == kindString:
		if inner := parseInner(v.text); inner != nil {
			return r.body(inner, v.text)
		}
		if len(v.text) <= 120 && !strings.ContainsAny(v.text, "\n\r") {
			b.Inline = v.text
			return b
		}
		b.Text = r.fold(v.text)
	case v.kind == kindDeep:
		b.Text = r.fold(v.text)
	case !v.isContainer():
		b.Inline = v.text
	default:
		if line := v.json(inlineBytes); len(line) <= inlineBytes && v.isFlat() {
			b.Inline = line
			return b
		}
		if raw == "" {
			raw = v.json(maxText)
		}
		t := r.tree()
		b.Tree, b.Raw = t.root(v), r.fold(raw)
		r.nodes = t.after()
	}
	return b
}

// isFlat tells whether a value has no containers in it, so that a line says all of it.
func (v *value) isFlat() bool {
	for _, item := range v.items {
		if item.isContainer() && len(item.items) > 0 || item.kind == kindDeep || item.kind == kindString && parseInner(item.text) != nil {
			return false
		}
	}
	return true
}

func (v *value) typeName() string {
	switch v.kind {
	case kindNull:
		return "null"
	case kindBool:
		return "boolean"
	case kindNumber:
		return "number"
	case kindArray:
		return "array"
	case kindObject:
		return "object"
	case kindDeep, kindString:
	}
	return "string"
}
