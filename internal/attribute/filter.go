package attribute

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/bits-and-blooms/bloom/v3"
	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/gjson"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// MetadataKey is the key under which the footer of a Parquet file has the filters of its row groups.
	MetadataKey = "spanlake.attributes"
	// maxValue is the length of the longest text that is looked for by its value; of longer ones only the key is known.
	maxValue = 128
	// bitsPerEntry and hashes make one of a thousand filters say wrongly that a value may be there: with 10 bits it was one of sixty (two
	// entries are asked for), and each of them costs the reading of a row group.
	bitsPerEntry = 15
	hashes       = 10
	// filterVersion is the first byte of a filter.
	filterVersion = 1
	filterHead    = 2
)

// Builder makes the filter of a row group. The zero value is ready, and is so again after Filter.
type Builder struct {
	entries map[uint64]struct{}
	// last are the attributes that were added last, and resources those of the row group: they repeat.
	last      string
	resources map[string]struct{}
	text      []byte
}

// Add enters what a span has.
func (b *Builder) Add(attributes, resource string) {
	if b.entries == nil {
		b.entries, b.resources = make(map[uint64]struct{}), make(map[string]struct{})
	}
	if attributes != b.last {
		b.last = attributes
		b.addObject(attributes)
	}
	if _, ok := b.resources[resource]; !ok {
		b.resources[resource] = struct{}{}
		b.addObject(resource)
	}
}

// addObject enters keys and values. What gjson reads of a text that is not JSON is entered as well, which does no harm.
func (b *Builder) addObject(text string) {
	gjson.Parse(text).ForEach(func(k, v gjson.Result) bool {
		key := k.String()
		b.entries[b.hash(key, "", kindKey)] = struct{}{}
		switch v.Type {
		case gjson.String:
			if s := v.String(); len(s) <= maxValue {
				b.entries[b.hash(key, s, kindValue)] = struct{}{}
			}
		case gjson.True, gjson.False:
			b.entries[b.hash(key, v.Raw, kindValue)] = struct{}{}
		case gjson.Number:
			for _, s := range numberTexts(v.Raw) {
				b.entries[b.hash(key, s, kindValue)] = struct{}{}
			}
		}
		return true
	})
}

// numberTexts are the texts under which a number is entered: its own and, if its value is a whole number that is compared by value, that
// number without fraction or exponent. Other fractions are known by their key only: nobody looks for one.
func numberTexts(raw string) []string {
	n, ok := Number(raw)
	whole := ok && n == math.Trunc(n)
	switch {
	case whole:
		if text := strconv.FormatInt(int64(n), 10); text != raw {
			return []string{raw, text}
		}
		return []string{raw}
	case ok || len(raw) > maxValue:
		return nil
	}
	return []string{raw}
}

type entryKind byte

const (
	kindKey entryKind = iota
	kindValue
)

func (b *Builder) hash(key, value string, kind entryKind) uint64 {
	b.text = append(b.text[:0], byte(kind))
	b.text = binary.AppendUvarint(b.text, uint64(len(key)))
	b.text = append(append(b.text, key...), value...)
	return xxhash.Sum64(b.text)
}

// Filter is the filter of what was added, which is forgotten.
func (b *Builder) Filter() []byte {
	words := (len(b.entries)*bitsPerEntry + 63) / 64
	filter := bloom.From(make([]uint64, max(words, 1)), hashes)
	var entry [8]byte
	for h := range b.entries {
		binary.LittleEndian.PutUint64(entry[:], h)
		filter.Add(entry[:])
	}
	set := filter.BitSet().Words()
	text := make([]byte, filterHead, filterHead+8*len(set))
	text[0], text[1] = filterVersion, hashes
	for _, word := range set {
		text = binary.LittleEndian.AppendUint64(text, word)
	}
	clear(b.entries)
	clear(b.resources)
	b.last = ""
	return text
}

// Filter says of a row group what it cannot have.
type Filter struct{ bits *bloom.BloomFilter }

// Open reads a filter. One that cannot be read rules nothing out.
func Open(filter []byte) Filter {
	if len(filter) <= filterHead || filter[0] != filterVersion || filter[1] == 0 || (len(filter)-filterHead)%8 != 0 {
		return Filter{}
	}
	words := make([]uint64, (len(filter)-filterHead)/8)
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(filter[filterHead+8*i:])
	}
	return Filter{bloom.From(words, uint(filter[1]))}
}

// MayMatch is false if no span of the row group can match all clauses.
func (f Filter) MayMatch(clauses []span.AttributeClause) bool {
	if f.bits == nil {
		return true
	}
	var b Builder
	for _, clause := range clauses {
		may := false
		for i := range clause {
			may = may || f.may(&b, &clause[i])
		}
		if !may {
			return false
		}
	}
	return true
}

func (f Filter) may(b *Builder, c *span.AttributeCondition) bool {
	if !f.has(b.hash(c.Key, "", kindKey)) {
		return false
	}
	if c.Value == nil || len(*c.Value) > maxValue {
		return true
	}
	if f.has(b.hash(c.Key, *c.Value, kindValue)) {
		return true
	}
	n, ok := Number(*c.Value)
	switch {
	case !ok:
		return false
	case n != math.Trunc(n):
		return true // fractions are not entered
	}
	return f.has(b.hash(c.Key, strconv.FormatInt(int64(n), 10), kindValue))
}

func (f Filter) has(hash uint64) bool {
	var entry [8]byte
	binary.LittleEndian.PutUint64(entry[:], hash)
	return f.bits.Test(entry[:])
}

// RowGroup is what is known of the attributes in a row group.
type RowGroup struct {
	// FirstTraceID and LastTraceID are those of its first and last row, which are in the order of trace ids.
	FirstTraceID, LastTraceID string
	Filter                    []byte
}

// fileText is how the footer of a file has its row groups.
type fileText struct {
	RowGroups []rowGroupText `json:"row_groups"`
}

type rowGroupText struct {
	First  string `json:"first_trace_id"`
	Last   string `json:"last_trace_id"`
	Filter string `json:"filter"`
}

// Encode makes the text for the footer of a file: JSON, with filters in base64, since readers of Parquet expect UTF-8 there.
func Encode(groups []RowGroup) string {
	file := fileText{RowGroups: make([]rowGroupText, len(groups))}
	for i, g := range groups {
		file.RowGroups[i] = rowGroupText{g.FirstTraceID, g.LastTraceID, base64.StdEncoding.EncodeToString(g.Filter)}
	}
	text, _ := json.Marshal(file) // of strings: it cannot fail
	return string(text)
}

var errNoRowGroups = errors.New("has no row groups")

// Decode reads what Encode made.
func Decode(text string) ([]RowGroup, error) {
	var file fileText
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		return nil, fmt.Errorf("filters of attributes: %w", err)
	}
	if len(file.RowGroups) == 0 {
		return nil, fmt.Errorf("filters of attributes: %w", errNoRowGroups)
	}
	groups := make([]RowGroup, len(file.RowGroups))
	for i, g := range file.RowGroups {
		filter, err := base64.StdEncoding.DecodeString(g.Filter)
		if err != nil {
			return nil, fmt.Errorf("filters of attributes: row group %d: %w", i, err)
		}
		groups[i] = RowGroup{g.First, g.Last, filter}
	}
	return groups, nil
}
