package tidings

import (
	"cmp"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// The limits of what is written of a value that encoding/json refuses.
const (
	maxReadableNodes = 10_000
	maxReadableDepth = 100
)

// readableJSON gives what can be had of a value that encoding/json refuses as a
// whole: NaN, channels, cycles, keys that are no strings and values that can't
// write themselves become strings that say so, and the rest stays as it is.
func readableJSON(v any) []byte {
	w := &walk{nodes: maxReadableNodes, path: map[visit]bool{}}
	w.value(reflect.ValueOf(v), 0)
	return validText(w.out)
}

// walk writes the JSON of one value.
type walk struct {
	out   object
	nodes int // that may still be looked at
	path  map[visit]bool
}

// visit is a pointer, map or slice that the walk is in.
type visit struct {
	kind reflect.Type
	at   uintptr
	size int
}

func (w *walk) text(s string) { w.out = appendString(w.out, s) }

func (w *walk) value(v reflect.Value, depth int) {
	w.nodes--
	switch {
	case !v.IsValid():
		w.out = append(w.out, "null"...)
		return
	case w.nodes < 0:
		w.text("[and more]")
		return
	case depth > maxReadableDepth:
		w.text("[nests too deep]")
		return
	case v.Kind() != reflect.Interface && w.custom(v):
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		w.out = fmt.Append(w.out, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.out = fmt.Append(w.out, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		w.out = fmt.Append(w.out, v.Uint())
	case reflect.Float32, reflect.Float64:
		w.number(v.Float())
	case reflect.String:
		w.text(v.String())
	case reflect.Complex64, reflect.Complex128:
		w.text(fmt.Sprint(v.Complex()))
	case reflect.Interface:
		w.value(v.Elem(), depth)
	case reflect.Struct:
		w.out = append(w.out, '{')
		w.members(v, depth)
		w.out = append(w.out, '}')
	case reflect.Array:
		w.list(v, depth)
	case reflect.Pointer, reflect.Map, reflect.Slice:
		w.within(v, depth)
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		w.opaque(v)
	}
}

// opaque says what it is that nobody can write.
func (w *walk) opaque(v reflect.Value) {
	if v.IsNil() {
		w.out = append(w.out, "null"...)
		return
	}
	w.text("[a " + v.Type().String() + "]")
}

func (w *walk) number(f float64) {
	switch {
	case math.IsNaN(f):
		w.text("NaN")
	case math.IsInf(f, 1):
		w.text("Infinity")
	case math.IsInf(f, -1):
		w.text("-Infinity")
	default:
		text, _ := json.Marshal(f) // finite: never fails
		w.out = append(w.out, text...)
	}
}

var (
	jsonWriter = reflect.TypeFor[json.Marshaler]()
	textWriter = reflect.TypeFor[encoding.TextMarshaler]()
	errorType  = reflect.TypeFor[error]()
)

// custom lets a value write itself that can, and reports whether it can.
func (w *walk) custom(v reflect.Value) bool {
	t := v.Type()
	if !v.CanInterface() || !t.Implements(jsonWriter) && !t.Implements(textWriter) && !t.Implements(errorType) {
		return false
	}
	if v.Kind() == reflect.Pointer && v.IsNil() {
		w.out = append(w.out, "null"...)
		return true
	}
	text, err := writeItself(v.Interface())
	if err != nil {
		w.text(fmt.Sprintf("[a %s that can't be encoded: %v]", t, err))
		return true
	}
	w.out = append(w.out, text...)
	return true
}

func writeItself(v any) (text []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if e, ok := v.(error); ok {
		if _, ok := v.(json.Marshaler); !ok {
			return appendString(nil, e.Error()), nil
		}
	}
	return json.Marshal(v)
}

// within writes what a pointer, map or slice holds, unless the walk is in it.
func (w *walk) within(v reflect.Value, depth int) {
	if v.IsNil() {
		w.out = append(w.out, "null"...)
		return
	}
	at := visit{kind: v.Type(), at: v.Pointer()}
	if v.Kind() == reflect.Slice {
		at.size = v.Len()
	}
	if w.path[at] {
		w.text("[a cycle]")
		return
	}
	w.path[at] = true
	defer delete(w.path, at)
	switch {
	case v.Kind() == reflect.Pointer:
		w.value(v.Elem(), depth)
	case v.Kind() == reflect.Map:
		w.mapping(v, depth)
	case v.Type().Elem().Kind() == reflect.Uint8:
		w.text(base64.StdEncoding.EncodeToString(v.Bytes()))
	default:
		w.list(v, depth)
	}
}

func (w *walk) list(v reflect.Value, depth int) {
	w.out = append(w.out, '[')
	for i := range v.Len() {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.value(v.Index(i), depth+1)
		if w.nodes < 0 {
			break
		}
	}
	w.out = append(w.out, ']')
}

// mapping writes a map in the order of its keys.
func (w *walk) mapping(v reflect.Value, depth int) {
	type entry struct {
		name  string
		value reflect.Value
	}
	var entries []entry
	for at := v.MapRange(); at.Next() && len(entries) <= w.nodes; {
		entries = append(entries, entry{w.key(at.Key()), at.Value()})
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	w.out = append(w.out, '{')
	for _, e := range entries {
		w.name(e.name)
		w.value(e.value, depth+1)
	}
	w.out = append(w.out, '}')
}

// key is a map's key as a member's name: a string as it is, anything else as its
// JSON.
func (w *walk) key(v reflect.Value) string {
	for v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() == reflect.String {
		return v.String()
	}
	inner := &walk{nodes: 100, path: map[visit]bool{}}
	inner.value(v, maxReadableDepth/2)
	var text string
	if json.Unmarshal(inner.out, &text) == nil && len(inner.out) > 0 && inner.out[0] == '"' {
		return text
	}
	return string(inner.out)
}

func (w *walk) name(name string) {
	w.out = append(appendString(w.out.next(), name), ':')
}

// members writes the fields of a struct as encoding/json names them, those of
// embedded structs among them.
func (w *walk) members(v reflect.Value, depth int) {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		omit := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		switch {
		case name == "-" && options == "", omit && isEmpty(value):
		case f.Anonymous && name == "" && value.Kind() == reflect.Struct && !f.Type.Implements(jsonWriter):
			w.members(value, depth+1)
		case f.IsExported():
			w.name(cmp.Or(name, f.Name))
			w.value(value, depth+1)
		}
	}
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	}
	return v.IsZero()
}
