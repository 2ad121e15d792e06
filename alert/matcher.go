package alert

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Matcher is a condition on a label, written as Prometheus does: name="report",
// name!="report", name=~"rep.*" or name!~"rep.*". A label that is missing is
// empty. A pattern stands for the whole value.
type Matcher struct {
	Label, Op, Value string

	pattern *regexp.Regexp
}

var matcherForm = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*$`)

// maxPattern bounds a pattern, so that matching stays cheap.
const maxPattern = 1000

// ParseMatcher reads a matcher. The quotes may be left out.
func ParseMatcher(text string) (Matcher, error) {
	parts := matcherForm.FindStringSubmatch(text)
	if parts == nil {
		return Matcher{}, fmt.Errorf("%q is no matcher; write label=\"value\", label!=\"value\", label=~\"pattern\" or label!~\"pattern\"", text)
	}
	m := Matcher{Label: parts[1], Op: parts[2], Value: parts[3]}
	if strings.HasPrefix(m.Value, `"`) {
		value, err := strconv.Unquote(m.Value)
		if err != nil {
			return Matcher{}, fmt.Errorf("%q: the quotes of the value are wrong", text)
		}
		m.Value = value
	}
	return m, m.compile()
}

func (m *Matcher) compile() error {
	if m.Op != "=~" && m.Op != "!~" {
		return nil
	}
	if len(m.Value) > maxPattern {
		return fmt.Errorf("the pattern of %s has over %d bytes", m.Label, maxPattern)
	}
	var err error
	m.pattern, err = regexp.Compile("^(?s:" + m.Value + ")$")
	if err != nil {
		return fmt.Errorf("%s: %q is no pattern: %w", m.Label, m.Value, err)
	}
	return nil
}

// Matches reports whether the labels satisfy the matcher.
func (m *Matcher) Matches(labels map[string]string) bool {
	value := labels[m.Label]
	switch m.Op {
	case "=":
		return value == m.Value
	case "!=":
		return value != m.Value
	case "=~":
		return m.pattern.MatchString(value)
	}
	return !m.pattern.MatchString(value)
}

// String gives the matcher as it is written.
func (m Matcher) String() string { return m.Label + m.Op + strconv.Quote(m.Value) }

// MarshalJSON writes the matcher as a string.
func (m Matcher) MarshalJSON() ([]byte, error) { return json.Marshal(m.String()) }

// UnmarshalJSON reads what MarshalJSON writes, or what a person does.
func (m *Matcher) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return fmt.Errorf("a matcher is a string such as name=\"report\"")
	}
	var err error
	*m, err = ParseMatcher(text)
	return err
}

// Matchers are satisfied if all are.
type Matchers []Matcher

// Match reports whether the labels satisfy all of them.
func (ms Matchers) Match(labels map[string]string) bool {
	for i := range ms {
		if !ms[i].Matches(labels) {
			return false
		}
	}
	return true
}
