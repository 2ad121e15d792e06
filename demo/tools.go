package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strings"
)

// tool is one thing that the agent can do to the folder.
type tool struct {
	spec ToolSpec
	run  func(ctx context.Context, d *folder, input json.RawMessage) (any, error)
}

// The names of the tools.
const (
	toolListFiles    = "list_files"
	toolMeasure      = "measure"
	toolReadFile     = "read_file"
	toolSearch       = "search"
	toolDependencies = "dependencies"
	toolEntryPoints  = "entry_points"
	toolWriteReport  = "write_report"
)

var tools = []tool{
	{ToolSpec{toolListFiles, "Lists the folder: every sub-folder with its files and bytes, and the paths of the files.",
		json.RawMessage(`{"type":"object","properties":{"path":{"type":"string","description":"a folder; empty for all"}}}`)}, runListFiles},
	{ToolSpec{toolMeasure, "Measures a folder or a file: lines, words, functions, languages, the largest files, notes such as TODO.",
		json.RawMessage(`{"type":"object","properties":{"path":{"type":"string","description":"a folder or a file; empty for all"}}}`)}, runMeasure},
	{ToolSpec{toolReadFile, "Reads lines of a text file, at most 8 KB at a time.",
		json.RawMessage(`{"type":"object","properties":{"path":{"type":"string"},"from_line":{"type":"integer","minimum":1},"lines":{"type":"integer","minimum":1,"maximum":200}},"required":["path"]}`)}, runReadFile},
	{ToolSpec{toolSearch, "Searches the text files of a folder for a regular expression (RE2).",
		json.RawMessage(`{"type":"object","properties":{"pattern":{"type":"string"},"path":{"type":"string","description":"a folder or a file; empty for all"}},"required":["pattern"]}`)}, runSearch},
	{ToolSpec{toolDependencies, "Reads the manifests of package managers: go.mod, package.json, pyproject.toml, requirements.txt, Cargo.toml.",
		json.RawMessage(`{"type":"object","properties":{}}`)}, runDependencies},
	{ToolSpec{toolEntryPoints, "Finds where things start: programs, scripts, builds, containers.",
		json.RawMessage(`{"type":"object","properties":{}}`)}, runEntryPoints},
}

func toolByName(name string) (tool, bool) {
	for _, t := range tools {
		if t.spec.Name == name {
			return t, true
		}
	}
	return tool{}, false
}

func toolSpecs(names ...string) []ToolSpec {
	var out []ToolSpec
	for _, name := range names {
		if t, ok := toolByName(name); ok {
			out = append(out, t.spec)
		}
	}
	return out
}

// errInput says that a model called a tool in a way that can't work.
type errInput struct{ reason string }

func (e *errInput) Error() string { return e.reason }

func decodeInput(input json.RawMessage, into any) error {
	if len(bytes.TrimSpace(input)) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(input))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return &errInput{"the input does not fit the tool's parameters: " + err.Error()}
	}
	return nil
}

type pathInput struct {
	Path string `json:"path"`
}

// filesOf gives the files that a tool's path means, or says that there are none.
func (d *folder) filesOf(p string) ([]*file, error) {
	files := d.under(p)
	if len(files) == 0 && strings.Trim(p, "./") != "" {
		return nil, &errInput{fmt.Sprintf("there is nothing at %q; list_files names what there is", p)}
	}
	return files, nil
}

// listing is what list_files gives.
type listing struct {
	Name     string         `json:"name"`
	Files    int            `json:"files"`
	Folders  int            `json:"folders"`
	Bytes    int64          `json:"bytes"`
	Tree     []treeFolder   `json:"tree"`  // the first folder of each path, most bytes first; 100 at most
	Parts    int            `json:"parts"` // how many there are
	Paths    []string       `json:"paths"` // the first 300, or 16 KB of them
	More     int            `json:"more_paths,omitempty"`
	Skipped  map[string]int `json:"skipped,omitempty"`    // reason → entries
	Unread   []string       `json:"unreadable,omitempty"` // 20 at most
	Complete bool           `json:"complete"`             // no bound was reached
}

type treeFolder struct {
	Path  string `json:"path"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// Bounds of what a tool answers: it goes into an event and to a model.
const (
	maxListedPaths  = 300
	maxListedBytes  = 16 << 10
	maxListedTree   = 100
	maxListedUnread = 20
	maxManifests    = 20
	maxDependencies = 60
	maxEntryPoints  = 60
)

func first[T any](all []T, n int) []T { return all[:min(len(all), n)] }

func runListFiles(ctx context.Context, d *folder, input json.RawMessage) (any, error) {
	var in pathInput
	if err := decodeInput(input, &in); err != nil {
		return nil, err
	}
	if err := d.scan(ctx); err != nil {
		return nil, err
	}
	files, err := d.filesOf(in.Path)
	if err != nil {
		return nil, err
	}
	out := listing{Name: d.name, Files: len(files), Folders: d.folders, Skipped: d.skipped, Unread: first(d.unreadNames(), maxListedUnread), Complete: !d.truncated}
	tree := topFolders(files)
	out.Tree, out.Parts = first(tree, maxListedTree), len(tree)
	room := maxListedBytes
	for _, f := range files {
		out.Bytes += f.size
		if room -= len(f.path); room > 0 && len(out.Paths) < maxListedPaths {
			out.Paths = append(out.Paths, f.label())
		}
	}
	out.More = len(files) - len(out.Paths)
	return out, nil
}

// topFolders adds up the files of each first folder, most bytes first.
func topFolders(files []*file) []treeFolder {
	index := map[string]int{}
	out := []treeFolder{}
	for _, f := range files {
		top := topFolder(f.label())
		i, ok := index[top]
		if !ok {
			i = len(out)
			index[top] = i
			out = append(out, treeFolder{Path: top})
		}
		out[i].Files++
		out[i].Bytes += f.size
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Bytes > out[j].Bytes })
	return out
}

func (d *folder) unreadNames() []string {
	out := make([]string, 0, len(d.unread))
	for name := range d.unread {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

func runMeasure(ctx context.Context, d *folder, input json.RawMessage) (any, error) {
	var in pathInput
	if err := decodeInput(input, &in); err != nil {
		return nil, err
	}
	files, err := d.filesOf(in.Path)
	if err != nil {
		return nil, err
	}
	if in.Path == "." { // the files at the root themselves, as list_files names them
		files = filesAtRoot(files)
	}
	return d.total(ctx, in.Path, files, 5)
}

func filesAtRoot(files []*file) []*file {
	var out []*file
	for _, f := range files {
		if topFolder(f.path) == "." {
			out = append(out, f)
		}
	}
	return out
}

// reading is what read_file gives.
type reading struct {
	Path     string `json:"path"`
	Language string `json:"language,omitempty"`
	From     int    `json:"from_line"`
	Lines    int    `json:"lines"`
	Of       int    `json:"of_lines"`
	Text     string `json:"text"`
}

const (
	maxReadText  = 8 << 10
	maxReadLines = 200
)

func runReadFile(_ context.Context, d *folder, input json.RawMessage) (any, error) {
	var in struct {
		Path  string `json:"path"`
		From  int    `json:"from_line"`
		Lines int    `json:"lines"`
	}
	if err := decodeInput(input, &in); err != nil {
		return nil, err
	}
	f := d.byLabel[strings.TrimPrefix(in.Path, "./")]
	if f == nil {
		return nil, &errInput{fmt.Sprintf("there is no file %q; list_files names what there is", in.Path)}
	}
	text, reason := d.text(f)
	if reason != "" {
		return nil, fmt.Errorf("%s is not read: %s", f.label(), reason)
	}
	out := reading{Path: f.label(), Language: f.language, From: max(1, in.From)}
	limit := min(maxReadLines, max(1, in.Lines))
	if in.Lines <= 0 {
		limit = maxReadLines
	}
	var shown bytes.Buffer
	for line := range bytes.Lines(text) {
		out.Of++
		if out.Of < out.From || out.Lines >= limit || shown.Len()+len(line) > maxReadText {
			continue
		}
		out.Lines++
		shown.Write(line)
	}
	out.Text = string(bytes.ToValidUTF8(shown.Bytes(), []byte("\uFFFD")))
	return out, nil
}

// findings are what search gives.
type findings struct {
	Pattern string    `json:"pattern"`
	Matches int       `json:"matches"`
	Files   int       `json:"files"`
	First   []finding `json:"first"` // the first 20
}

type finding struct {
	Path string `json:"path"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

const maxFindings = 20

func runSearch(ctx context.Context, d *folder, input json.RawMessage) (any, error) {
	var in struct {
		Pattern string `json:"pattern"`
		Path    string `json:"path"`
	}
	if err := decodeInput(input, &in); err != nil {
		return nil, err
	}
	pattern, err := regexp.Compile(in.Pattern)
	if err != nil || in.Pattern == "" {
		return nil, &errInput{fmt.Sprintf("%.80q is no regular expression that RE2 understands", in.Pattern)}
	}
	files, err := d.filesOf(in.Path)
	if err != nil {
		return nil, err
	}
	out := findings{Pattern: in.Pattern, First: []finding{}}
	for _, f := range files {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		before := out.Matches
		d.searchFile(f, pattern, &out)
		if out.Matches > before {
			out.Files++
		}
	}
	return out, nil
}

func (d *folder) searchFile(f *file, pattern *regexp.Regexp, out *findings) {
	text, reason := d.text(f)
	if reason != "" {
		return
	}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if !pattern.Match(line) {
			continue
		}
		out.Matches++
		if len(out.First) < maxFindings {
			out.First = append(out.First, finding{Path: f.label(), Line: number, Text: excerpt(line, 160)})
		}
	}
}

func runDependencies(ctx context.Context, d *folder, _ json.RawMessage) (any, error) {
	found, err := d.manifests(ctx)
	out := make([]manifest, 0, len(found))
	for _, m := range first(found, maxManifests) {
		m.Direct, m.Dev = first(m.Direct, maxDependencies), first(m.Dev, maxDependencies)
		out = append(out, m)
	}
	return map[string]any{"manifests": out, "of": len(found)}, err
}

func runEntryPoints(ctx context.Context, d *folder, _ json.RawMessage) (any, error) {
	found, err := d.entryPoints(ctx)
	return map[string]any{"entry_points": first(found, maxEntryPoints), "of": len(found)}, err
}

// runTool runs a call of the model. The error of a wrong call is told to the
// model as the tool's answer; only an ended context stops the agent.
func runTool(ctx context.Context, d *folder, c Call) (any, error) {
	t, ok := toolByName(c.Tool)
	if !ok {
		return nil, &errInput{fmt.Sprintf("there is no tool %q", c.Tool)}
	}
	out, err := t.run(ctx, d, c.Input)
	if ctx.Err() != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	return out, err
}
