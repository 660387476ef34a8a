package spanview

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	op, path, from string
	value          *value
}

// PatchError says why a patch, or one of its operations, is none or does not fit the state.
type PatchError struct {
	// Operation is the number of the operation, from 0, or -1.
	Operation int
	Problem   string
}

// Error implements error.
func (e *PatchError) Error() string {
	if e.Operation < 0 {
		return e.Problem
	}
	return fmt.Sprintf("operation %d: %s", e.Operation+1, e.Problem)
}

const (
	// maxOperations bounds one patch.
	maxOperations = 2_000
	// maxSegments bounds a path.
	maxSegments = maxDepth
)

// readPatch reads a JSON patch. {} and an empty text are patches that change nothing: clients send them so.
func readPatch(text string) ([]operation, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	v, err := parse(text, maxValues)
	if err != nil {
		return nil, &PatchError{-1, "it is not JSON: " + err.Error()}
	}
	if v.kind == kindObject && len(v.items) == 0 {
		return nil, nil
	}
	if v.kind != kindArray {
		return nil, &PatchError{-1, "it is not an array of operations"}
	}
	if len(v.items)+v.omitted > maxOperations || v.omitted > 0 {
		return nil, &PatchError{-1, fmt.Sprintf("it has %d operations: more than are applied", len(v.items)+v.omitted)}
	}
	operations := make([]operation, len(v.items))
	for i, item := range v.items {
		o := operation{op: item.get("op").string(), value: item.get("value")}
		if path := item.get("path"); path == nil || path.kind != kindString {
			return nil, &PatchError{i, "it has no path"}
		}
		o.path = item.get("path").text
		switch o.op {
		case "add", "replace", "test":
			if o.value == nil {
				return nil, &PatchError{i, o.op + " without a value"}
			}
		case "move", "copy":
			if from := item.get("from"); from == nil || from.kind != kindString {
				return nil, &PatchError{i, o.op + " without from"}
			}
			o.from = item.get("from").text
		case "remove":
		default:
			return nil, &PatchError{i, fmt.Sprintf("there is no operation %q", cut(o.op, 60))}
		}
		operations[i] = o
	}
	return operations, nil
}

// pointer takes a JSON pointer (RFC 6901) apart.
func pointer(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	if path[0] != '/' {
		return nil, fmt.Errorf("the path %q does not begin with /", cut(path, 200))
	}
	segments := strings.Split(path[1:], "/")
	if len(segments) > maxSegments {
		return nil, fmt.Errorf("the path goes %d levels deep", len(segments))
	}
	for i, segment := range segments {
		segments[i] = strings.ReplaceAll(strings.ReplaceAll(segment, "~1", "/"), "~0", "~")
	}
	return segments, nil
}

var errNotThere = errors.New("there is nothing at the path")

// at is the value at a path.
func (v *value) at(path []string) (*value, error) {
	for _, segment := range path {
		i, err := v.place(segment, false)
		if err != nil {
			return nil, err
		}
		v = v.items[i]
	}
	return v, nil
}

// place is where a member is. With end, an array has one more place, behind its last item.
func (v *value) place(segment string, end bool) (int, error) {
	switch v.kind {
	case kindObject:
		if i := slices.Index(v.keys, segment); i >= 0 {
			return i, nil
		}
		return len(v.items), errNotThere
	case kindArray:
		most := len(v.items)
		if end && segment == "-" {
			return most, nil
		}
		i, err := strconv.Atoi(segment)
		if err != nil || i < 0 || strconv.Itoa(i) != segment {
			return 0, fmt.Errorf("%q is no place in an array", cut(segment, 60))
		}
		if i > most || i == most && !end {
			return 0, fmt.Errorf("an array of %d items has no place %d", most, i)
		}
		return i, nil
	}
	return 0, errNotThere
}

// edit is the value with another one at a path; change gets the container and the last segment.
func (v *value) edit(path []string, change func(in *value, segment string) (*value, error)) (*value, error) {
	if len(path) == 1 {
		return change(v, path[0])
	}
	i, err := v.place(path[0], false)
	if err != nil {
		return nil, err
	}
	item, err := v.items[i].edit(path[1:], change)
	if err != nil {
		return nil, err
	}
	return v.with(i, item), nil
}

// with is the value with another item in a place.
func (v *value) with(i int, item *value) *value {
	changed := *v
	changed.items = slices.Clone(v.items)
	changed.items[i] = item
	return &changed
}

func add(in *value, segment string, item *value) (*value, error) {
	i, err := in.place(segment, true)
	if in.kind != kindObject {
		if err != nil {
			return nil, err
		}
		changed := *in
		changed.items = slices.Insert(slices.Clone(in.items), i, item)
		return &changed, nil
	}
	if err == nil {
		return in.with(i, item), nil
	}
	changed := *in
	changed.items, changed.keys = append(slices.Clone(in.items), item), append(slices.Clone(in.keys), segment)
	return &changed, nil
}

func remove(in *value, segment string) (*value, error) {
	i, err := in.place(segment, false)
	if err != nil {
		return nil, err
	}
	changed := *in
	changed.items = slices.Delete(slices.Clone(in.items), i, i+1)
	if in.kind == kindObject {
		changed.keys = slices.Delete(slices.Clone(in.keys), i, i+1)
	}
	return &changed, nil
}

// apply does one operation. It returns the state after it, and the values at its path before and after, nil if there was none.
func (o *operation) apply(state *value) (next, before, after *value, err error) {
	path, err := pointer(o.path)
	if err != nil {
		return nil, nil, nil, err
	}
	before, notThere := state.at(path)
	if notThere != nil {
		before = nil
	}
	item := o.value
	if o.op == "move" || o.op == "copy" {
		from, err := pointer(o.from)
		if err != nil {
			return nil, nil, nil, err
		}
		if item, err = state.at(from); err != nil {
			return nil, nil, nil, fmt.Errorf("from: %w", err)
		}
		if o.op == "move" && o.from != o.path {
			if strings.HasPrefix(o.path, o.from+"/") {
				return nil, nil, nil, errors.New("a value cannot be moved into itself")
			}
			if state, err = state.without(from); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	switch o.op {
	case "test":
		switch {
		case notThere != nil:
			return nil, nil, nil, notThere
		case !(&comparer{compareSteps}).equal(before, item, 0):
			return nil, nil, nil, errors.New("the value is another one than was tested for")
		}
		return state, before, before, nil
	case "remove":
		if notThere != nil {
			return nil, nil, nil, notThere
		}
		next, err = state.without(path)
		return next, before, nil, err
	case "replace":
		if notThere != nil {
			return nil, nil, nil, notThere
		}
		if len(path) == 0 {
			return item, before, item, nil
		}
		next, err = state.edit(path, func(in *value, segment string) (*value, error) {
			i, err := in.place(segment, false)
			if err != nil {
				return nil, err
			}
			return in.with(i, item), nil
		})
		return next, before, item, err
	}
	if len(path) == 0 {
		return item, before, item, nil
	}
	if into, err := state.at(path[:len(path)-1]); err == nil && into.kind == kindArray {
		before = nil // what was there moves on
	}
	next, err = state.edit(path, func(in *value, segment string) (*value, error) { return add(in, segment, item) })
	return next, before, item, err
}

// without is the value without what is at a path. Without itself it is null.
func (v *value) without(path []string) (*value, error) {
	if len(path) == 0 {
		return &value{kind: kindNull, text: "null"}, nil
	}
	return v.edit(path, remove)
}
