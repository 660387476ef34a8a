package otlpwire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

var (
	errSyntax   = errors.New("is no JSON")
	errNesting  = errors.New("nested too deep")
	errTrailing = errors.New("something follows the JSON value")
)

// jsonReader reads JSON as encoding/json does: strictly, but with U+FFFD for each byte that is no UTF-8 and for each half of a
// surrogate pair. It passes over the text once. encoding/json takes many times as long for its tokens; libraries that are faster read
// what nests once for each level, or bring down the process where it nests too deep for the stack.
type jsonReader struct {
	in  []byte
	pos int
	// unquoted has the texts that are not as they are written.
	unquoted []byte
}

// begin begins with another text. What was read before is no longer valid.
func (r *jsonReader) begin(text string) {
	r.in, r.pos, r.unquoted = append(r.in[:0], text...), 0, r.unquoted[:0]
}

// end is an error if anything is left.
func (r *jsonReader) end() error {
	if r.peek(); r.pos < len(r.in) {
		return errTrailing
	}
	return nil
}

// peek is the next byte that is no space, or 0 at the end.
func (r *jsonReader) peek() byte {
	for ; r.pos < len(r.in); r.pos++ {
		switch c := r.in[r.pos]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// unexpected is the error if something else is at the position, or nothing.
func (r *jsonReader) unexpected(want string) error {
	if r.pos >= len(r.in) {
		return fmt.Errorf("%w: %w instead of %s", errSyntax, io.ErrUnexpectedEOF, want)
	}
	return fmt.Errorf("%w: %q instead of %s at byte %d", errSyntax, r.in[r.pos], want, r.pos)
}

// array reads an array, of which each element is read by a call.
func (r *jsonReader) array(element func() error) error {
	if r.peek() != '[' {
		return r.unexpected("an array")
	}
	return r.elements(']', element)
}

// object reads an object, of which each value is read by a call. The key is valid until the next text begins.
func (r *jsonReader) object(value func(key []byte) error) error {
	if r.peek() != '{' {
		return r.unexpected("an object")
	}
	return r.elements('}', func() error {
		key, err := r.text()
		if err != nil {
			return err
		}
		if r.peek() != ':' {
			return r.unexpected("a colon")
		}
		r.pos++
		return value(key)
	})
}

// elements reads what is between brackets and commas, from the opening bracket on.
func (r *jsonReader) elements(closing byte, element func() error) error {
	r.pos++
	if r.peek() == closing {
		r.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch r.peek() {
		case ',':
			r.pos++
		case closing:
			r.pos++
			return nil
		default:
			return r.unexpected("a comma or the end")
		}
	}
}

// text reads a string.
func (r *jsonReader) text() ([]byte, error) {
	if r.peek() != '"' {
		return nil, r.unexpected("a string")
	}
	r.pos++
	if end := special(r.in, r.pos); end < len(r.in) && r.in[end] == '"' && utf8.Valid(r.in[r.pos:end]) {
		text := r.in[r.pos:end:end]
		r.pos = end + 1
		return text, nil
	}
	for begin := len(r.unquoted); ; {
		end := special(r.in, r.pos)
		r.unquoted = appendRunes(r.unquoted, r.in[r.pos:end])
		r.pos = end
		switch {
		case end < len(r.in) && r.in[end] == '"':
			r.pos++
			return slices.Clip(r.unquoted[begin:]), nil
		case end < len(r.in) && r.in[end] == '\\':
			if err := r.escape(); err != nil {
				return nil, err
			}
		default:
			return nil, r.unexpected("the end of a string")
		}
	}
}

// appendRunes appends text with U+FFFD for each byte that is no UTF-8.
func appendRunes(out, text []byte) []byte {
	if utf8.Valid(text) {
		return append(out, text...)
	}
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		out, text = utf8.AppendRune(out, c), text[size:]
	}
	return out
}

// escape reads what begins with a backslash.
func (r *jsonReader) escape() error {
	if r.pos+1 == len(r.in) {
		r.pos++
		return r.unexpected("an escape")
	}
	c := r.in[r.pos+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	default:
		return r.escapedRune()
	}
	r.unquoted = append(r.unquoted, c)
	r.pos += 2
	return nil
}

// escapedRune reads \uXXXX, or two of them that are one rune.
func (r *jsonReader) escapedRune() error {
	c, ok := r.codeUnit()
	if !ok {
		return r.unexpected("an escape")
	}
	r.pos += 6
	if utf16.IsSurrogate(c) {
		low, _ := r.codeUnit()
		if c = utf16.DecodeRune(c, low); c != utf8.RuneError {
			r.pos += 6
		}
	}
	r.unquoted = utf8.AppendRune(r.unquoted, c)
	return nil
}

// codeUnit is the \uXXXX that begins at the position.
func (r *jsonReader) codeUnit() (c rune, ok bool) {
	if len(r.in)-r.pos < 6 || r.in[r.pos] != '\\' || r.in[r.pos+1] != 'u' {
		return 0, false
	}
	var unit [2]byte
	if _, err := hex.Decode(unit[:], r.in[r.pos+2:r.pos+6]); err != nil {
		return 0, false
	}
	return rune(unit[0])<<8 | rune(unit[1]), true
}

// number reads a number as it is written, and tells whether that is without fraction and exponent.
func (r *jsonReader) number() (number []byte, whole bool, err error) {
	r.peek()
	begin := r.pos
	r.skip("-")
	if !r.skip("0") && !r.digits() {
		return nil, false, r.unexpected("a number")
	}
	integer := r.pos
	if r.skip(".") && !r.digits() {
		return nil, false, r.unexpected("a digit")
	}
	if r.skip("eE") {
		r.skip("+-")
		if !r.digits() {
			return nil, false, r.unexpected("a digit")
		}
	}
	return r.in[begin:r.pos], r.pos == integer, nil
}

// skip passes over one of the characters and tells whether it was there.
func (r *jsonReader) skip(characters string) bool {
	for i := range len(characters) {
		if r.pos < len(r.in) && r.in[r.pos] == characters[i] {
			r.pos++
			return true
		}
	}
	return false
}

// digits passes over digits and tells whether there was one.
func (r *jsonReader) digits() bool {
	begin := r.pos
	for r.pos < len(r.in) && r.in[r.pos]-'0' <= 9 {
		r.pos++
	}
	return r.pos > begin
}

// unsigned reads a number without sign, fraction and exponent.
func (r *jsonReader) unsigned(bits int) (uint64, error) {
	number, _, err := r.number()
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(number), 10, bits)
}

// id reads hex digits in a string.
func (r *jsonReader) id() ([]byte, error) {
	text, err := r.text()
	if err != nil {
		return nil, err
	}
	begin := len(r.unquoted)
	r.unquoted, err = hex.AppendDecode(r.unquoted, text)
	return slices.Clip(r.unquoted[begin:]), err
}

// literal passes over a word.
func (r *jsonReader) literal(word string) error {
	if len(r.in)-r.pos < len(word) || string(r.in[r.pos:r.pos+len(word)]) != word {
		return r.unexpected("a value")
	}
	r.pos += len(word)
	return nil
}
