package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// reportMark is the first line of every report, by which a later run knows
// that it may be replaced.
const reportMark = "<!-- written by: tidings demo -->"

// DefaultReport is the report's name if the configuration gives none.
const DefaultReport = "tidings-report.md"

// reportPath gives the file to write: want, or if that is somebody's own file
// the first free name beside it. It fails if the place can't be written.
func reportPath(want string) (string, error) {
	want, err := filepath.Abs(want)
	if err != nil {
		return "", err
	}
	probe, err := os.CreateTemp(filepath.Dir(want), ".tidings-report-*")
	if err != nil {
		return "", fmt.Errorf("the report can't be written to %s (%w); choose another place for it", filepath.Dir(want), err)
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	ext := filepath.Ext(want)
	for n := 2; n < 1000; n++ {
		if n == 2 && replaceable(want) {
			return want, nil
		}
		other := fmt.Sprintf("%s-%d%s", strings.TrimSuffix(want, ext), n, ext)
		if replaceable(other) {
			return other, nil
		}
	}
	return "", fmt.Errorf("%s exists and is no report of an earlier run; choose another name for the report", want)
}

// replaceable reports whether nothing is there, or a report of an earlier run.
func replaceable(p string) bool {
	info, err := os.Lstat(p)
	if errors.Is(err, os.ErrNotExist) {
		return true
	}
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(p)
	if err != nil {
		return false
	}
	defer f.Close() // only read from
	head := make([]byte, len(reportMark))
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == reportMark
}

// writeReport puts the text in place in one step: a reader sees the former
// report or the whole new one.
func writeReport(p, text string) error {
	f, err := os.CreateTemp(filepath.Dir(p), ".tidings-report-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), p)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// facts are what the report states; every figure in it is measured.
type facts struct {
	name      string
	folder    *folder
	whole     totals
	parts     []totals // every top folder, most bytes first
	manifests []manifest
	entries   []entryPoint
	marks     []mark
}

// gather measures what the model did not ask for, so that the figures are
// complete whatever it did.
func gather(ctx context.Context, d *folder) (*facts, error) {
	if err := d.scan(ctx); err != nil {
		return nil, err
	}
	out := &facts{name: d.name, folder: d}
	var err error
	if out.whole, err = d.total(ctx, "", d.files, 10); err != nil {
		return nil, err
	}
	byTop := map[string][]*file{}
	for _, f := range d.files {
		top := topFolder(f.label())
		byTop[top] = append(byTop[top], f)
		out.marks = append(out.marks, f.facts.marks...)
	}
	for _, top := range topFolders(d.files) {
		part, err := d.total(ctx, top.Path, byTop[top.Path], 3)
		if err != nil {
			return nil, err
		}
		out.parts = append(out.parts, part)
	}
	if out.manifests, err = d.manifests(ctx); err != nil {
		return nil, err
	}
	out.entries, err = d.entryPoints(ctx)
	return out, err
}

// story is what the report says besides the figures.
type story struct {
	jobID    string
	at       time.Time
	about    []string // the models that took part, one sentence each
	overview string
	summary  string
	calls    map[string]int // tool → calls
}

// render writes the report.
func render(f *facts, s *story) string {
	var w strings.Builder
	fmt.Fprintf(&w, "%s\n# Report on %s\n\n", reportMark, code(f.name))
	fmt.Fprintf(&w, "Written by the demo agent of Tidings on %s as job %s.\n", s.at.UTC().Format("2006-01-02 15:04 UTC"), code(s.jobID))
	for _, sentence := range s.about {
		fmt.Fprintf(&w, "%s\n", sentence)
	}
	w.WriteString("Every figure below was measured by tools.\n")
	section(&w, "In short", s.overview)
	section(&w, "Figures", figures(f))
	if f.whole.Files > 0 {
		section(&w, "Languages", languageTable(f.whole.Languages, f.whole.Lines))
		section(&w, "Folders", folderTable(f.parts))
		section(&w, "Folder by folder", s.summary)
		section(&w, "Largest files", fileTable(f.whole.Largest))
		section(&w, "Longest source files", fileTable(f.whole.Longest))
	}
	section(&w, "Entry points", entryList(f.entries))
	section(&w, "Dependencies", manifestList(f.manifests))
	section(&w, "Notes left for later", markList(f.marks))
	section(&w, "How this was done", method(f, s))
	return w.String()
}

func section(w *strings.Builder, title, body string) {
	if body = strings.TrimSpace(body); body != "" {
		fmt.Fprintf(w, "\n## %s\n\n%s\n", title, body)
	}
}
