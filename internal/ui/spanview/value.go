package spanview

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// kind is what a JSON value is.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
	// kindDeep is JSON text that lies deeper than maxDepth, and is not taken apart.
	kindDeep
)

const (
	// maxDepth is how deep JSON is taken apart. encoding/json itself refuses more than 10,000 levels.
	maxDepth = 40
	// maxParse bounds texts that are taken apart; longer ones are shown as texts.
	maxParse = 2 << 20
	// maxValues bounds the values of one text.
	maxValues = 100_000
)

// value is a JSON value with its members in their order. It is never changed once it is made, so that states of a workflow share what is
// the same in them.
type value struct {
	kind kind
	// text is what a string says, and of a number, a bool and a deep value its JSON.
	text string
	// items are those of an array or the values of an object, whose keys are keys.
	items []*value
	keys  []string
	// omitted are items that were not kept because there are too many.
	omitted int
}

var (
	errTrailing = errors.New("something follows the JSON value")
	errTooLong  = fmt.Errorf("it has more than %d bytes", maxParse)
)

// parse reads a JSON text. Numbers stay as they are written. Of more values than most the rest is counted and left out.
func parse(text string, most int) (*value, error) {
	if len(text) > maxParse {
		return nil, errTooLong
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	p := parser{decoder: decoder, room: most}
	v, err := p.value(0)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errTrailing
	}
	return v, nil
}

type parser struct {
	decoder *json.Decoder
	room    int
}

func (p *parser) value(depth int) (*value, error) {
	p.room--
	if depth >= maxDepth {
		var raw json.RawMessage
		if err := p.decoder.Decode(&raw); err != nil {
			return nil, err
		}
		return &value{kind: kindDeep, text: string(raw)}, nil
	}
	token, err := p.decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		return p.container(token, depth)
	case string:
		return &value{kind: kindString, text: token}, nil
	case json.Number:
		return &value{kind: kindNumber, text: token.String()}, nil
	case bool:
		if token {
			return &value{kind: kindBool, text: "true"}, nil
		}
		return &value{kind: kindBool, text: "false"}, nil
	}
	return &value{kind: kindNull, text: "null"}, nil
}

func (p *parser) container(open json.Delim, depth int) (*value, error) {
	v := &value{kind: kindArray}
	if open == '{' {
		v.kind = kindObject
	}
	for p.decoder.More() {
		key := ""
		if v.kind == kindObject {
			token, err := p.decoder.Token()
			if err != nil {
				return nil, err
			}
			key, _ = token.(string) // the decoder takes nothing else for a key
		}
		if p.room <= 0 {
			var ignored json.RawMessage
			if err := p.decoder.Decode(&ignored); err != nil {
				return nil, err
			}
			v.omitted++
			continue
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, item)
		if v.kind == kindObject {
			v.keys = append(v.keys, key)
		}
	}
	_, err := p.decoder.Token()
	return v, err
}

// parseInner reads a string that is JSON: an object or an array. Anything else is a text.
func parseInner(text string) *value {
	trimmed := strings.TrimSpace(text)
	if len(trimmed) < 2 || trimmed[0] != '{' && trimmed[0] != '[' {
		return nil
	}
	v, err := parse(trimmed, maxValues)
	if err != nil {
		return nil
	}
	return v
}

// opened is a value, taken out of the string that it may be in as JSON.
func opened(v *value) *value {
	if v != nil && v.kind == kindString {
		if inner := parseInner(v.text); inner != nil {
			return inner
		}
	}
	return v
}

// get is a member of an object by its key, nil if there is none. Of keys that repeat the first one counts.
func (v *value) get(key string) *value {
	if v == nil || v.kind != kindObject {
		return nil
	}
	for i, k := range v.keys {
		if k == key {
			return v.items[i]
		}
	}
	return nil
}

// first is the first of some members that there is and that is not null.
func (v *value) first(keys ...string) *value {
	for _, key := range keys {
		if found := v.get(key); found != nil && found.kind != kindNull {
			return found
		}
	}
	return nil
}

// string is the text of a string, number or bool, "" of anything else.
func (v *value) string() string {
	if v == nil || v.isContainer() || v.kind == kindNull {
		return ""
	}
	return v.text
}

func (v *value) isContainer() bool { return v.kind == kindArray || v.kind == kindObject }

// comparer compares values. Patches can copy a state into itself again and again, which makes values that are small in memory and have no
// end to whoever walks through them: after so many steps, and so deep, they count as different.
type comparer struct{ left int }

const maxCompareDepth = 200

func (c *comparer) equal(a, b *value, depth int) bool {
	if a == b {
		return true
	}
	c.left--
	if c.left <= 0 || depth > maxCompareDepth || a == nil || b == nil ||
		a.kind != b.kind || a.text != b.text || len(a.items) != len(b.items) || a.omitted != b.omitted {
		return false
	}
	var places map[string]*value
	if !slices.Equal(a.keys, b.keys) {
		places = b.byKey()
		c.left -= len(b.keys)
	}
	for i, item := range a.items {
		other := b.items[i]
		if places != nil {
			other = places[a.keys[i]]
		}
		if !c.equal(item, other, depth+1) {
			return false
		}
	}
	return true
}

func (v *value) byKey() map[string]*value {
	all := make(map[string]*value, len(v.keys))
	for i, key := range v.keys {
		if _, ok := all[key]; !ok {
			all[key] = v.items[i]
		}
	}
	return all
}

// json is the value as JSON text, cut off after about most bytes.
func (v *value) json(most int) string {
	var text strings.Builder
	v.write(&text, most)
	return text.String()
}

func (v *value) write(text *strings.Builder, most int) {
	if text.Len() > most {
		return
	}
	switch v.kind {
	case kindString:
		writeString(text, v.text)
	case kindArray, kindObject:
		brackets := "[]"
		if v.kind == kindObject {
			brackets = "{}"
		}
		text.WriteByte(brackets[0])
		for i, item := range v.items {
			if text.Len() > most {
				text.WriteString("…")
				break
			}
			if i > 0 {
				text.WriteString(", ")
			}
			if v.kind == kindObject {
				writeString(text, v.keys[i])
				text.WriteString(": ")
			}
			item.write(text, most)
		}
		if v.omitted > 0 {
			text.WriteString(", …")
		}
		text.WriteByte(brackets[1])
	default:
		text.WriteString(v.text)
	}
}

// writeString writes a JSON string without escapes for HTML: templates do that.
func writeString(text *strings.Builder, s string) {
	encoder := json.NewEncoder(&trimNewline{text})
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string has a JSON text, and a builder takes it
}

// trimNewline drops the newline that an encoder puts behind a value.
type trimNewline struct{ to *strings.Builder }

func (w *trimNewline) Write(b []byte) (int, error) {
	w.to.WriteString(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

// cut is the beginning of a text, of at most so many bytes, without half a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
