package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"sort"
	"unicode/utf8"
)

// marks are the notes that people leave for later.
var marks = regexp.MustCompile(`\b(TODO|FIXME|HACK|XXX)\b`)

// fileFacts is what one reading of a file gives.
type fileFacts struct {
	unread    string // why it was not read, or ""
	lines     int
	blank     int
	words     int
	functions int
	marks     []mark
}

// mark is a note for later, such as a TODO, in a file.
type mark struct {
	Kind string `json:"kind"`
	Path string `json:"path"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Reasons for which a file is listed but not read.
const (
	unreadBinary = "binary"
	unreadLarge  = "large"
	unreadSecret = "may hold secrets"
	unreadError  = "unreadable"
)

// measure reads a file once; later calls do nothing.
func (d *folder) measure(f *file) {
	if f.measured {
		return
	}
	f.measured = true
	text, reason := d.text(f)
	if reason != "" {
		f.facts = fileFacts{unread: reason}
		return
	}
	f.facts = count(f, text)
}

// text gives a file's text, or why it can't be had.
func (d *folder) text(f *file) (text []byte, reason string) {
	switch {
	case mayHoldSecrets(f.path):
		return nil, unreadSecret
	case f.size > maxReadBytes:
		return nil, unreadLarge
	}
	text, err := d.read(f.path, maxReadBytes+1)
	switch {
	case err != nil:
		d.unread[f.label()] = err
		return nil, unreadError
	case len(text) > maxReadBytes: // it grew since it was listed
		return nil, unreadLarge
	case isBinary(text):
		return nil, unreadBinary
	}
	return text, ""
}

func isBinary(text []byte) bool {
	head := text[:min(len(text), 8<<10)]
	return bytes.IndexByte(head, 0) >= 0
}

func count(f *file, text []byte) fileFacts {
	var out fileFacts
	functions := languageDetails[f.language].functions
	for line := range bytes.Lines(text) {
		out.lines++
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) == 0 {
			out.blank++
			continue
		}
		out.words += len(bytes.Fields(line))
		if functions != nil && functions.Match(line) {
			out.functions++
		}
		if kind := marks.Find(line); kind != nil {
			out.marks = append(out.marks, mark{Kind: string(kind), Path: f.label(), Line: out.lines, Text: excerpt(line, 120)})
		}
	}
	return out
}

// excerpt is a line as it can be shown: trimmed, in valid UTF-8, bounded.
func excerpt(line []byte, limit int) string {
	line = bytes.ToValidUTF8(bytes.TrimSpace(line), []byte("\uFFFD"))
	if len(line) <= limit {
		return string(line)
	}
	cut := line[:limit]
	for len(cut) > 0 && !utf8.Valid(cut) {
		cut = cut[:len(cut)-1]
	}
	return string(cut) + " …"
}

// totals add up the files of a folder.
type totals struct {
	Path      string          `json:"path"`
	Files     int             `json:"files"`
	Bytes     int64           `json:"bytes"`
	Lines     int             `json:"lines"`
	Blank     int             `json:"blank_lines"`
	Words     int             `json:"words"`
	Functions int             `json:"functions"`
	Marks     int             `json:"marks"` // TODO, FIXME, HACK, XXX
	NotRead   map[string]int  `json:"not_read,omitempty"`
	Languages []languageTotal `json:"languages,omitempty"` // most lines first
	Largest   []fileTotal     `json:"largest,omitempty"`   // most bytes first
	Longest   []fileTotal     `json:"longest,omitempty"`   // source files, most lines first
}

type languageTotal struct {
	Language  string `json:"language"`
	Files     int    `json:"files"`
	Lines     int    `json:"lines"`
	Bytes     int64  `json:"bytes"`
	Functions int    `json:"functions,omitempty"`
}

type fileTotal struct {
	Path      string `json:"path"`
	Language  string `json:"language,omitempty"`
	Lines     int    `json:"lines"`
	Bytes     int64  `json:"bytes"`
	Functions int    `json:"functions,omitempty"`
}

// total measures the given files and adds them up, with the top largest.
func (d *folder) total(ctx context.Context, name string, files []*file, top int) (totals, error) {
	out := totals{Path: name}
	byLanguage := map[string]*languageTotal{}
	for _, f := range files {
		if ctx.Err() != nil {
			return totals{}, context.Cause(ctx)
		}
		d.measure(f)
		out.add(f)
		if f.language != "" {
			addLanguage(byLanguage, f)
		}
	}
	for _, l := range byLanguage {
		out.Languages = append(out.Languages, *l)
	}
	sort.Slice(out.Languages, func(i, j int) bool {
		a, b := out.Languages[i], out.Languages[j]
		if a.Lines != b.Lines {
			return a.Lines > b.Lines
		}
		return a.Language < b.Language
	})
	out.Largest = topFiles(files, top, func(f *file) int64 { return f.size })
	out.Longest = topFiles(files, top, func(f *file) int64 {
		if !languageDetails[f.language].source {
			return 0
		}
		return int64(f.facts.lines)
	})
	return out, nil
}

func (t *totals) add(f *file) {
	t.Files++
	t.Bytes += f.size
	if f.facts.unread != "" {
		if t.NotRead == nil {
			t.NotRead = map[string]int{}
		}
		t.NotRead[f.facts.unread]++
		return
	}
	t.Lines += f.facts.lines
	t.Blank += f.facts.blank
	t.Words += f.facts.words
	t.Functions += f.facts.functions
	t.Marks += len(f.facts.marks)
}

func addLanguage(all map[string]*languageTotal, f *file) {
	l := all[f.language]
	if l == nil {
		l = &languageTotal{Language: f.language}
		all[f.language] = l
	}
	l.Files++
	l.Bytes += f.size
	l.Lines += f.facts.lines
	l.Functions += f.facts.functions
}

// topFiles gives the n files with the greatest value above 0.
func topFiles(files []*file, n int, value func(*file) int64) []fileTotal {
	sorted := append([]*file(nil), files...)
	sort.SliceStable(sorted, func(i, j int) bool { return value(sorted[i]) > value(sorted[j]) })
	var out []fileTotal
	for _, f := range sorted {
		if len(out) == n || value(f) == 0 {
			break
		}
		out = append(out, fileTotal{Path: f.label(), Language: f.language, Lines: f.facts.lines, Bytes: f.size, Functions: f.facts.functions})
	}
	return out
}

// readFull reads until buf is full or the file ends.
func readFull(r io.Reader, buf []byte) (int, error) {
	n, err := io.ReadFull(r, buf)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
