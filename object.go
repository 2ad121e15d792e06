package tidings

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// object builds the JSON object of an event's data by hand: callbacks run on
// the agent's goroutine, and reflection would be most of their cost.
type object []byte

func newObject(size int) object { return append(make(object, 0, size), '{') }

// next makes the object ready for another member.
func (o object) next() object {
	if o[len(o)-1] != '{' {
		o = append(o, ',')
	}
	return o
}

func (o object) key(name string) object {
	o = append(o.next(), '"')
	o = append(o, name...)
	return append(o, '"', ':')
}

func (o object) str(name, value string) object { return appendString(o.key(name), value) }

// text adds the string unless it is empty.
func (o object) text(name, value string) object {
	if value == "" {
		return o
	}
	return o.str(name, value)
}

// raw adds JSON that is known to be valid, unless it is empty.
func (o object) raw(name string, value []byte) object {
	if len(value) == 0 {
		return o
	}
	return append(o.key(name), value...)
}

func (o object) integer(name string, value int64) object {
	return strconv.AppendInt(o.key(name), value, 10)
}

func (o object) boolean(name string, value bool) object {
	return strconv.AppendBool(o.key(name), value)
}

// number adds a finite number with as many digits as it takes.
func (o object) number(name string, value float64) object {
	return strconv.AppendFloat(o.key(name), value, 'f', -1, 64)
}

// millis adds a duration in whole milliseconds.
func (o object) millis(name string, d time.Duration) object {
	return o.integer(name, max(0, d.Milliseconds()))
}

func (o object) end() []byte { return append(o, '}') }

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\uFFFD"...)
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
