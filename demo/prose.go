package demo

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// summarise writes one list item a measured folder.
func (k *knowledge) summarise() string {
	if len(k.parts) == 0 {
		return "There is nothing to summarise.\n"
	}
	var out strings.Builder
	for i := range k.parts {
		out.WriteString("- " + partSummary(&k.parts[i]) + "\n")
	}
	return out.String()
}

func partSummary(t *totals) string {
	text := fmt.Sprintf("%s: %s with %s", code(folderName(t.Path)), plural(t.Files, "file"), plural(t.Lines, "line"))
	if len(t.Languages) > 0 && t.Lines > 0 {
		text += ", " + share(t.Languages[0].Lines, t.Lines) + " " + t.Languages[0].Language
	}
	if t.Functions > 0 {
		text += "; " + plural(t.Functions, "function")
	}
	if len(t.Longest) > 0 {
		text += fmt.Sprintf("; the longest is %s (%s)", code(t.Longest[0].Path), plural(t.Longest[0].Lines, "line"))
	}
	if t.Marks > 0 {
		text += "; " + plural(t.Marks, "note") + " for later"
	}
	return text + "."
}

// overview is what the report says first.
func (k *knowledge) overview() string {
	if k.listing.Files == 0 {
		return fmt.Sprintf("%s holds no file that could be studied.\n", code(k.listing.Name))
	}
	if k.whole == nil {
		k.whole = k.sum()
	}
	out := k.whatItIs() + k.whereItStarts() + k.whatItNeeds() + k.whatIsLeft()
	if quote := k.ownWords(); quote != "" {
		out += "\n\nIn its own words:\n\n> " + quote
	}
	return out + "\n"
}

// sum stands in for a measurement of the whole that no one asked for.
func (k *knowledge) sum() *totals {
	t := &totals{Files: k.listing.Files, Bytes: k.listing.Bytes}
	for _, part := range k.parts {
		t.Lines += part.Lines
	}
	return t
}

func (k *knowledge) whatItIs() string {
	t := k.whole
	kind := ""
	for _, l := range t.Languages {
		if languageDetails[l.Language].source {
			kind = fmt.Sprintf(", most of its source in %s (%s)", l.Language, plural(l.Lines, "line"))
			break
		}
	}
	text := fmt.Sprintf("%s holds %s with %s%s. ", code(k.listing.Name), plural(t.Files, "file"), plural(t.Lines, "line"), kind)
	if k.listing.Parts > 1 {
		top := k.listing.Tree[0]
		text += fmt.Sprintf("Of %s, the largest is %s with %s. ", plural(k.listing.Parts, "part"), place(top.Path), size(top.Bytes))
	}
	return text
}

func (k *knowledge) whereItStarts() string {
	if len(k.entries) == 0 {
		return "No entry point was recognised. "
	}
	e := k.entries[0]
	text := fmt.Sprintf("It starts at %s (%s)", code(e.Path), e.Kind)
	if more := len(k.entries) - 1; more > 0 {
		text += fmt.Sprintf(" and %s", plural(more, "other place"))
	}
	return text + ". "
}

func (k *knowledge) whatItNeeds() string {
	if len(k.manifests) == 0 {
		return "No manifest of a package manager was seen. "
	}
	m := k.manifests[0]
	text := fmt.Sprintf("%s names %s", code(m.Path), plural(len(m.Direct), "direct dependency"))
	if m.Indirect > 0 {
		text += fmt.Sprintf(" and %s indirect", number(m.Indirect))
	}
	return text + ". "
}

func (k *knowledge) whatIsLeft() string {
	if k.notes.Matches == 0 {
		return "No TODO or FIXME was found."
	}
	return fmt.Sprintf("%s such as TODO or FIXME wait in %s.", plural(k.notes.Matches, "note"), plural(k.notes.Files, "file"))
}

// ownWords is the first paragraph of the README.
func (k *knowledge) ownWords() string {
	readme := k.readme()
	for _, r := range k.readings {
		if r.Path != readme {
			continue
		}
		for paragraph := range strings.SplitSeq(r.Text, "\n\n") {
			paragraph = strings.Join(strings.Fields(paragraph), " ")
			if paragraph != "" && !strings.ContainsAny(paragraph[:1], "#[!<`|-=*>") {
				return excerpt([]byte(paragraph), 400)
			}
		}
	}
	return ""
}

// place names a part of the folder in a sentence.
func place(p string) string {
	if p == "." {
		return "its root itself"
	}
	return code(folderName(p))
}

func folderName(p string) string {
	if p == "." {
		return "./"
	}
	return strings.TrimSuffix(p, "/") + "/"
}

// code puts a text between backticks; one that holds some gets more around it.
func code(s string) string {
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		return fence + " " + s + " " + fence
	}
	return fence + s + fence
}

// plural counts a thing: 1 file, 2 files, 3 entries.
func plural(n int, thing string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(thing, "y"):
		thing = strings.TrimSuffix(thing, "y") + "ies"
	default:
		thing += "s"
	}
	return number(n) + " " + thing
}

// number separates thousands with commas.
func number[T int | int64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// size gives bytes in a unit that people read.
func size(n int64) string {
	switch {
	case n < 1000:
		return plural(int(n), "byte")
	case n < 1_000_000:
		return strconv.FormatFloat(float64(n)/1e3, 'f', 1, 64) + " kB"
	default:
		return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
	}
}

func share(part, whole int) string {
	return strconv.Itoa((part*100+whole/2)/whole) + " %"
}

// counts lists how many of what, the most first.
func counts(m map[string]int) string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		if m[names[i]] != m[names[j]] {
			return m[names[i]] > m[names[j]]
		}
		return names[i] < names[j]
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%s)", name, number(m[name]))
	}
	return strings.Join(names, ", ")
}
