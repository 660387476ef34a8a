package spanview

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
)

// attributes are those of a span, an event or a resource, in their order.
type attributes struct {
	all []attribute
	// places are where the first of a key is.
	places map[string]int
}

type attribute struct {
	key string
	// raw is the JSON text of the value.
	raw string
	// read is the value once somebody has asked for it: most of a large span is never looked at.
	read *value
}

var (
	errNotObject = errors.New("it is not a JSON object")
	errNotArray  = errors.New("it is not a JSON array")
)

// maxEach bounds the values of one attribute that are taken apart.
const maxEach = 20_000

// readAttributes reads the JSON object that a column has. What comes before damage is kept.
func readAttributes(text string) (*attributes, error) {
	a := &attributes{places: make(map[string]int)}
	if strings.TrimSpace(text) == "" {
		return a, nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	if token, err := decoder.Token(); err != nil {
		return a, err
	} else if token == nil {
		return a, nil
	} else if token != json.Delim('{') {
		return a, errNotObject
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return a, err
		}
		key, _ := token.(string) // the decoder takes nothing else for a key
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return a, err
		}
		a.add(key, string(raw))
	}
	_, err := decoder.Token()
	return a, err
}

func (a *attributes) add(key, raw string) {
	if _, ok := a.places[key]; !ok {
		a.places[key] = len(a.all)
	}
	a.all = append(a.all, attribute{key: key, raw: raw})
}

func (a *attribute) value() *value {
	if a.read != nil {
		return a.read
	}
	a.read = &value{kind: kindDeep, text: a.raw}
	if a.raw != "" && a.raw[0] == '"' {
		// Strings are the longest values, and need no parser of their own.
		var text string
		if json.Unmarshal([]byte(a.raw), &text) == nil {
			a.read = &value{kind: kindString, text: text}
		}
	} else if parsed, err := parse(a.raw, maxEach); err == nil {
		a.read = parsed
	}
	return a.read
}

// get is the value of the first of some keys that there is.
func (a *attributes) get(keys ...string) *value {
	for _, key := range keys {
		if i, ok := a.places[key]; ok && a.all[i].value().kind != kindNull {
			return a.all[i].value()
		}
	}
	return nil
}

// text is a string, number or bool as text, "" if there is none.
func (a *attributes) text(keys ...string) string {
	for _, key := range keys {
		if text := a.get(key).string(); text != "" {
			return text
		}
	}
	return ""
}

// Attributes are shown by namespace: the part of the key before the first dot.
type Attributes struct {
	Groups []Group
	// Count is how many there are, More how many of them are not shown.
	Count, More int
	// Dropped is how many the sender left out.
	Dropped uint32
}

// Group is a namespace.
type Group struct {
	// Name is "" for keys without a dot.
	Name string
	Rows []Row
}

// Row is an attribute.
type Row struct {
	// Prefix is the namespace with its dot, and Key the rest.
	Prefix, Key string
	Body        Body
	// Find leads to the traces that have the same value, "" if that cannot be asked.
	Find string
	// Above: the page has shown it already as what it means.
	Above bool
}

// Words are the key in pieces between which a line may break.
func (r Row) Words() (all []string) {
	rest := r.Key
	for {
		i := strings.IndexAny(rest, "._/-")
		if i < 0 {
			return append(all, rest)
		}
		all, rest = append(all, rest[:i+1]), rest[i+1:]
	}
}

const (
	// maxRows bounds the attributes in a page.
	maxRows = 600
	// maxFind is how long a value may be to be searched for.
	maxFind = 200
	// maxKey bounds keys: whoever makes longer ones has put something else there.
	maxKey = 500
)

// groups are the attributes by namespace.
func (m *maker) groups(a *attributes, dropped uint32) Attributes {
	shown := Attributes{Count: len(a.all), Dropped: dropped}
	type place struct {
		key string
		at  int
	}
	order := make([]place, len(a.all))
	for i := range order {
		order[i] = place{sortKey(a.all[i].key), i}
	}
	slices.SortStableFunc(order, func(a, b place) int { return strings.Compare(a.key, b.key) })
	most := min(maxRows, m.rows)
	if len(order) > most {
		shown.More = len(order) - most
		order = order[:most]
	}
	m.rows -= len(order)
	for _, p := range order {
		row, name := m.row(&a.all[p.at])
		if n := len(shown.Groups); n == 0 || shown.Groups[n-1].Name != name {
			shown.Groups = append(shown.Groups, Group{Name: name})
		}
		last := &shown.Groups[len(shown.Groups)-1]
		last.Rows = append(last.Rows, row)
	}
	return shown
}

// sortKey puts keys without a namespace behind all others, and the members of lists into the order of their numbers.
func sortKey(key string) string {
	namespace, rest, ok := strings.Cut(key, ".")
	if !ok {
		return "\xff" + key
	}
	return namespace + "\x00" + padNumbers(rest)
}

// padNumbers gives numbers between dots the same length, so that 10 comes behind 9.
func padNumbers(key string) string {
	if !strings.ContainsAny(key, "0123456789") {
		return key
	}
	segments := strings.Split(key, ".")
	for i, segment := range segments {
		if len(segment) < 8 && isDigits(segment) {
			segments[i] = strings.Repeat("0", 8-len(segment)) + segment
		}
	}
	return strings.Join(segments, ".")
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

func (m *maker) row(a *attribute) (row Row, namespace string) {
	row = Row{Key: cut(a.key, maxKey), Find: find(a), Above: m.shown[a.key]}
	v := a.value()
	if row.Above && (v.isContainer() || strings.HasPrefix(v.text, "[") || strings.HasPrefix(v.text, "{")) {
		// A tree of it is in the page already.
		row.Body, row.Find = Body{Type: v.typeName(), Text: m.fold(v.asText(a.raw))}, ""
	} else {
		row.Body = m.body(v, a.raw)
	}
	if before, rest, ok := strings.Cut(row.Key, "."); ok {
		namespace, row.Prefix, row.Key = before, before+".", rest
	}
	if row.Body.Tree != nil {
		row.Find = "" // nobody looks for the same JSON
		row.Body.Tree.Open = len(row.Body.Tree.Children) <= openItems
	}
	return row, namespace
}

// asText is what a string says, and of everything else the JSON.
func (v *value) asText(raw string) string {
	if v.kind == kindString {
		return v.text
	}
	return raw
}

// find leads to the traces with the same value.
func find(a *attribute) string {
	v := a.value()
	text := v.text
	if v.isContainer() || v.kind == kindNull || v.kind == kindDeep || a.key == "" || text == "" ||
		len(a.key)+len(text) > maxFind || strings.ContainsAny(text, "\n\r\x00") || strings.ContainsAny(a.key, "=\x00") {
		return ""
	}
	return "/?attribute=" + url.QueryEscape(a.key+"="+text)
}
