package celery

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// keywordArgument finds a keyword argument in the repr of a task's kwargs, as
// "{'job_id': 'a', 'n': 3}", which is all that Celery's events tell of them. It gives
// strings and integers; ok is false if the argument is not there, is anything
// else, or was cut off: Celery keeps the first 1,024 characters.
func keywordArgument(repr, name string) (value string, ok bool) {
	p := literal{text: strings.TrimSpace(repr)}
	if !p.skip("{") {
		return "", false
	}
	for {
		p.space()
		key, isString, ok := p.scalar()
		if !ok {
			return "", false
		}
		if p.space(); !p.skip(":") {
			return "", false
		}
		p.space()
		if isString && key == name {
			value, _, ok := p.scalar()
			if p.space(); !ok || !p.skip(",") && !p.skip("}") {
				return "", false
			}
			return value, value != ""
		}
		if !p.value() {
			return "", false
		}
		if p.space(); !p.skip(",") {
			return "", false
		}
	}
}

// literal reads Python literals.
type literal struct{ text string }

func (p *literal) space() { p.text = strings.TrimLeft(p.text, " \t\r\n") }

func (p *literal) skip(token string) bool {
	rest, ok := strings.CutPrefix(p.text, token)
	p.text = rest
	return ok
}

// scalar reads a string or an integer.
func (p *literal) scalar() (value string, isString, ok bool) {
	if p.text == "" {
		return "", false, false
	}
	if c := p.text[0]; c == '\'' || c == '"' {
		value, ok = p.quoted(c)
		return value, true, ok
	}
	end := strings.IndexFunc(p.text, func(r rune) bool { return (r < '0' || r > '9') && r != '-' })
	if end <= 0 {
		return "", false, false
	}
	value, p.text = p.text[:end], p.text[end:]
	_, err := strconv.ParseInt(value, 10, 64)
	return value, false, err == nil
}

// quoted reads a string behind its opening quote.
func (p *literal) quoted(quote byte) (string, bool) {
	var out strings.Builder
	for i := 1; i < len(p.text); {
		switch c := p.text[i]; {
		case c == quote:
			p.text = p.text[i+1:]
			return out.String(), true
		case c == '\\':
			n, ok := escape(p.text[i:], &out)
			if !ok {
				return "", false
			}
			i += n
		default:
			out.WriteByte(c)
			i++
		}
	}
	return "", false // cut off
}

// escape reads one escape sequence and gives its length.
func escape(text string, out *strings.Builder) (int, bool) {
	if len(text) < 2 {
		return 0, false
	}
	digits := 0
	switch text[1] {
	case 'n':
		out.WriteByte('\n')
	case 't':
		out.WriteByte('\t')
	case 'r':
		out.WriteByte('\r')
	case '\\', '\'', '"':
		out.WriteByte(text[1])
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	default:
		return 0, false
	}
	if digits == 0 {
		return 2, true
	}
	if len(text) < 2+digits {
		return 0, false
	}
	n, err := strconv.ParseUint(text[2:2+digits], 16, 32)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return 0, false
	}
	out.WriteRune(rune(n))
	return 2 + digits, true
}

// value passes any value: it looks for the comma or the bracket that ends it.
func (p *literal) value() bool {
	for depth := 0; p.text != ""; {
		switch c := p.text[0]; c {
		case '\'', '"':
			if _, ok := p.quoted(c); !ok {
				return false
			}
			continue
		case '(', '[', '{', '<':
			depth++
		case ')', ']', '}', '>':
			if depth == 0 {
				return true
			}
			depth--
		case ',':
			if depth == 0 {
				return true
			}
		}
		p.text = p.text[1:]
	}
	return false
}
