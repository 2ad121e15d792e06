package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// Fingerprint is what errors of one group have in common.
type Fingerprint struct {
	Name    string // of the job
	Kind    string // of the error
	Tool    string
	Message string // normalised; or the event's own "fingerprint"
}

// FingerprintVersion is part of every ID, so that another way of normalising
// can't be taken for this one.
const FingerprintVersion = "v1"

// ID is the group's: "v1-" and 16 hexadecimal digits.
func (f Fingerprint) ID() string {
	h := sha256.New()
	for _, part := range []string{f.Name, f.Kind, f.Tool, f.Message} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return FingerprintVersion + "-" + hex.EncodeToString(h.Sum(nil)[:8])
}

const (
	normaliseBytes = 1024 // of a message that are looked at
	messageBytes   = 256  // that are kept
)

// What changes from one occurrence to the next, in the order in which it is
// taken out.
var variable = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`), "<uuid>"},
	{regexp.MustCompile(`[a-z][a-z0-9+.-]*://[^\s"'<>]+`), "<url>"},
	{regexp.MustCompile(`[\w.+-]+@[\w-]+\.[\w.-]+`), "<email>"},
	{regexp.MustCompile(`"[^"]*"`), "<text>"},
	{regexp.MustCompile(`(^|[\s(=:,])'[^']*'`), "$1<text>"},
	{regexp.MustCompile("`[^`]*`"), "<text>"},
	{regexp.MustCompile(`(^|[\s(=:,])(?:[A-Za-z]:)?(?:[/\\][\w.@%+-]+){2,}`), "$1<path>"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?`), "<time>"},
	{regexp.MustCompile(`\b0x[0-9a-fA-F]+\b`), "<hex>"},
	{regexp.MustCompile(`\b(?:[0-9]+[a-fA-F]|[a-fA-F]+[0-9])[0-9a-fA-F]{5,}\b`), "<hex>"},
	{regexp.MustCompile(`\d+(?:[.,]\d+)*`), "<n>"},
	{regexp.MustCompile(`\s+`), " "},
}

// Normalise takes out of a message what differs between occurrences of the same
// error: numbers, times, UUIDs, hexadecimal digits, quoted texts, paths, URLs and
// addresses.
func Normalise(message string) string {
	message = clip(message, normaliseBytes)
	for _, v := range variable {
		message = v.pattern.ReplaceAllString(message, v.with)
	}
	return clip(strings.TrimSpace(message), messageBytes)
}
