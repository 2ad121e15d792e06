package tidings

import (
	"bytes"
	"strings"
)

// Sieve gives a quick look at a job's summary as JSON, for stores that keep
// summaries so: what it does not let pass does not match the query's status,
// name or labels, and need not be parsed, which takes twenty times as long. What it
// lets pass has yet to be asked for with [JobsQuery.Matches].
func (q *JobsQuery) Sieve() func(summary []byte) bool {
	var all [][][]byte // of each, one text at least stands in a summary that matches
	if q.Name != "" && isPlain(q.Name) {
		all = append(all, [][]byte{[]byte(`"name":"` + q.Name + `"`)})
	}
	for key, value := range q.Labels {
		if isPlain(key) && isPlain(value) {
			all = append(all, [][]byte{[]byte(`"` + key + `":"` + value + `"`)})
		}
	}
	var statuses [][]byte
	for _, status := range q.Status {
		statuses = append(statuses, []byte(`"status":"`+string(status)+`"`))
	}
	if len(statuses) > 0 {
		all = append(all, statuses)
	}
	return func(summary []byte) bool {
		for _, some := range all {
			if !containsAny(summary, some) {
				return false
			}
		}
		return true
	}
}

func containsAny(text []byte, some [][]byte) bool {
	for _, part := range some {
		if bytes.Contains(text, part) {
			return true
		}
	}
	return false
}

// isPlain reports whether a text stands in JSON as it is, however that was
// written.
func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' || r > '~' || strings.ContainsRune(`"\<>&/`, r)
	})
}
