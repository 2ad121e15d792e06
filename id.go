package tidings

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// ID is the position of an event in its job's log: the store's clock in
// milliseconds and a sequence within that millisecond. IDs strictly increase
// within a job, in every store, and have the form and order of Redis Stream
// entry IDs (https://redis.io/docs/latest/develop/data-types/streams/#entry-ids).
// The zero ID lies before every event.
type ID struct {
	Ms  uint64 // milliseconds since the Unix epoch
	Seq uint64 // order within the millisecond
}

// MaxID lies after every event.
var MaxID = ID{Ms: 1<<64 - 1, Seq: 1<<64 - 1}

// ParseID reads "<milliseconds>-<sequence>" or a bare "<milliseconds>", which
// means sequence 0. It accepts decimal digits only, without sign, space or
// leading zero. The error is an [*InvalidError].
func ParseID(s string) (ID, error) {
	msText, seqText, hasSeq := strings.Cut(s, "-")
	ms, ok := parseDecimal(msText)
	if !ok {
		return ID{}, invalidID(s)
	}
	var seq uint64
	if hasSeq {
		if seq, ok = parseDecimal(seqText); !ok {
			return ID{}, invalidID(s)
		}
	}
	return ID{Ms: ms, Seq: seq}, nil
}

func parseDecimal(s string) (uint64, bool) {
	if s == "" || (len(s) > 1 && s[0] == '0') || s[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

func invalidID(s string) error {
	return &InvalidError{Field: "id", Reason: fmt.Sprintf("%.64q is no event ID; one looks like 1795512001234-0", s)}
}

// String gives the form that [ParseID] reads.
func (id ID) String() string { return string(id.Append(nil)) }

// Append appends the form that [ParseID] reads to dst.
func (id ID) Append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, id.Ms, 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, id.Seq, 10)
}

// Compare is negative, zero or positive as id lies before, at or after other.
func (id ID) Compare(other ID) int {
	if c := cmp.Compare(id.Ms, other.Ms); c != 0 {
		return c
	}
	return cmp.Compare(id.Seq, other.Seq)
}

// Less reports whether id lies before other.
func (id ID) Less(other ID) bool { return id.Compare(other) < 0 }

// IsZero reports whether id lies before every event.
func (id ID) IsZero() bool { return id == ID{} }

// Next is the smallest ID after id. After [MaxID] it is MaxID itself.
func (id ID) Next() ID {
	switch {
	case id == MaxID:
		return id
	case id.Seq == 1<<64-1:
		return ID{Ms: id.Ms + 1}
	default:
		return ID{Ms: id.Ms, Seq: id.Seq + 1}
	}
}

// Prev is the largest ID before id. Before the zero ID it is the zero ID.
func (id ID) Prev() ID {
	switch {
	case id.Seq > 0:
		return ID{Ms: id.Ms, Seq: id.Seq - 1}
	case id.Ms > 0:
		return ID{Ms: id.Ms - 1, Seq: MaxID.Seq}
	}
	return ID{}
}

// MarshalText implements [encoding.TextMarshaler].
func (id ID) MarshalText() ([]byte, error) { return id.Append(nil), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. An empty text is the
// zero ID.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// Cursor is a place to read after: an event ID and, if known, the incarnation
// of the log that gave it. A job that was deleted and created again is another
// incarnation, and a cursor of the old one is answered with [*RewoundError]
// rather than taken for a place in the new one. The zero Cursor is the start.
type Cursor struct {
	ID          ID
	Incarnation string // empty: any incarnation
}

// ParseCursor reads "<ms>-<seq>" or "<ms>-<seq>~<incarnation>". The empty
// string is the zero Cursor. The error is an [*InvalidError].
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	text, incarnation, tagged := strings.Cut(s, "~")
	id, err := ParseID(text)
	if err != nil {
		return Cursor{}, &InvalidError{Field: "cursor", Reason: fmt.Sprintf("%.64q is no cursor; one is an event ID such as 1795512001234-0, or the text of an SSE id line", s)}
	}
	if tagged && !validIncarnation(incarnation) {
		return Cursor{}, &InvalidError{Field: "cursor", Reason: fmt.Sprintf("%.64q has a malformed incarnation after the ~", s)}
	}
	return Cursor{ID: id, Incarnation: incarnation}, nil
}

func validIncarnation(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// String gives the form that [ParseCursor] reads.
func (c Cursor) String() string { return string(c.Append(nil)) }

// Append appends the form that [ParseCursor] reads to dst.
func (c Cursor) Append(dst []byte) []byte {
	dst = c.ID.Append(dst)
	if c.Incarnation != "" {
		dst = append(dst, '~')
		dst = append(dst, c.Incarnation...)
	}
	return dst
}
