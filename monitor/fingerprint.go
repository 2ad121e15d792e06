package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
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
	{regexp.MustCompile(`["'](message|detail)["']: ?(?:"([^"]*)"|'([^']*)')`), "$1: $2$3"}, // of an API's answer
	{regexp.MustCompile(`"[^"]*"`), "<text>"},
	{regexp.MustCompile(`(^|[\s(=:,{\[])'[^']*'`), "$1<text>"},
	{regexp.MustCompile("`[^`]*`"), "<text>"},
	{regexp.MustCompile(`(^|[\s(=:,])(?:[A-Za-z]:)?(?:[/\\][\w.@%+-]+){2,}`), "$1<path>"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?`), "<time>"},
	{regexp.MustCompile(`\b0x[0-9a-fA-F]+\b`), "<hex>"},
	{regexp.MustCompile(`\b(?:[0-9]+[a-fA-F]|[a-fA-F]+[0-9])[0-9a-fA-F]{5,}\b`), "<hex>"},
}

var (
	words   = regexp.MustCompile(`[A-Za-z0-9]{10,}`)
	numbers = regexp.MustCompile(`\d+(?:[.,]\d+)*`)
	spaces  = regexp.MustCompile(`\s+`)
	// What stands before a number that says what is wrong, rather than where.
	code = regexp.MustCompile(`(?i)(?:status|code|http(?:/\d(?:\.\d)?)?)[\s:=]{1,3}$`)
)

// withoutIDs takes out what was drawn at random, such as req_011CSHoEeqs5C35K2UUqR7Fy:
// words in which letters and digits take turns.
func withoutIDs(message string) string {
	return words.ReplaceAllStringFunc(message, func(word string) string {
		turns := 0
		for i := 1; i < len(word); i++ {
			if isDigit(word[i]) != isDigit(word[i-1]) {
				turns++
			}
		}
		if turns < 3 {
			return word
		}
		return "<id>"
	})
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// withoutNumbers takes out numbers, but for codes of three digits: of HTTP or of a
// process.
func withoutNumbers(message string) string {
	var out strings.Builder
	at := 0
	for _, m := range numbers.FindAllStringIndex(message, -1) {
		out.WriteString(message[at:m[0]])
		if isCode(message, m[0], m[1]) {
			out.WriteString(message[m[0]:m[1]])
		} else {
			out.WriteString("<n>")
		}
		at = m[1]
	}
	return out.String() + message[at:]
}

func isCode(message string, from, to int) bool {
	if to-from != 3 || strings.ContainsAny(message[from:to], ".,") {
		return false
	}
	number, _ := strconv.Atoi(message[from:to])
	if text := http.StatusText(number); text != "" && strings.HasPrefix(message[to:], " "+text) {
		return true
	}
	return code.MatchString(message[max(0, from-20):from])
}

// Normalise takes out of a message what differs between occurrences of the same
// error: numbers, times, UUIDs and other IDs, hexadecimal digits, quoted texts,
// paths, URLs and addresses. What stays are codes of three digits, as of HTTP, and the
// message within an API's answer.
func Normalise(message string) string {
	message = clip(message, normaliseBytes)
	for _, v := range variable {
		message = v.pattern.ReplaceAllString(message, v.with)
	}
	message = spaces.ReplaceAllString(withoutNumbers(withoutIDs(message)), " ")
	return clip(strings.TrimSpace(message), messageBytes)
}
