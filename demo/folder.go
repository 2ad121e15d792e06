package demo

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a study. What lies beyond them is counted and said in the report.
const (
	maxFiles     = 20_000  // entries looked at
	maxDepth     = 32      // folders below the root
	maxReadBytes = 2 << 20 // a larger file is listed, not read
)

// skippedFolders are never entered: they hold copies of what others wrote, or
// what a tool keeps for itself.
var skippedFolders = map[string]string{
	".git": "version control", ".hg": "version control", ".svn": "version control", ".jj": "version control",
	"node_modules": "installed packages", "vendor": "installed packages", ".venv": "installed packages", "venv": "installed packages", "site-packages": "installed packages",
	"__pycache__": "caches", ".cache": "caches", ".mypy_cache": "caches", ".pytest_cache": "caches", ".tox": "caches", ".gradle": "caches",
	".idea": "editor state", ".vscode": "editor state",
	"tidings-data": "data of Tidings",
}

// file is one regular file of the folder.
type file struct {
	path     string // below the root, slash-separated, as the system gave it
	size     int64
	language string // "" if unknown

	measured bool
	facts    fileFacts
}

// label is the file's path as people and JSON can carry it.
func (f *file) label() string { return label(f.path) }

// label gives a path in valid UTF-8 without control characters: a name that is
// not so is written with escapes.
func label(p string) string {
	if utf8.ValidString(p) && !strings.ContainsFunc(p, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return p
	}
	quoted := strconv.Quote(p)
	return quoted[1 : len(quoted)-1]
}

// folder is what the agent studies. Not safe for concurrent use.
type folder struct {
	root    *os.Root
	name    string // for people
	exclude string // path of the report, which is not part of the study

	files     []*file          // by path
	folders   int              // entered, without the root
	skipped   map[string]int   // reason → entries
	unread    map[string]error // folders and files that could not be read, by label
	truncated bool             // a bound was reached
	byLabel   map[string]*file
}

func openFolder(dir, name, exclude string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder to study: %w", err)
	}
	return &folder{root: root, name: name, exclude: exclude}, nil
}

func (d *folder) close() { _ = d.root.Close() } // only read from

// scan lists the folder, once; later calls do nothing.
func (d *folder) scan(ctx context.Context) error {
	if d.byLabel != nil {
		return nil
	}
	d.skipped, d.unread = map[string]int{}, map[string]error{}
	if err := d.scanInto(ctx, ".", 0, nil); err != nil {
		return err
	}
	sort.Slice(d.files, func(i, j int) bool { return d.files[i].path < d.files[j].path })
	d.byLabel = make(map[string]*file, len(d.files))
	for _, f := range d.files {
		d.byLabel[f.label()] = f
	}
	return nil
}

func (d *folder) scanInto(ctx context.Context, dir string, depth int, ignores []ignoreFile) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	entries, err := d.readDir(dir)
	if err != nil {
		d.unread[label(dir)+"/"] = err
		return nil
	}
	if text, err := d.read(path.Join(dir, ".gitignore"), 64<<10); err == nil {
		ignores = append(ignores[:len(ignores):len(ignores)], parseIgnore(dir, string(text)))
	}
	for _, entry := range entries {
		if len(d.files) >= maxFiles {
			d.truncated = true
			return nil
		}
		p := path.Join(dir, entry.Name())
		if reason := d.skipReason(entry, p, depth, ignores); reason != "" {
			d.skipped[reason]++
			continue
		}
		if entry.IsDir() {
			d.folders++
			if err := d.scanInto(ctx, p, depth+1, ignores); err != nil {
				return err
			}
			continue
		}
		info, err := entry.Info()
		if err != nil {
			d.unread[label(p)] = err
			continue
		}
		d.files = append(d.files, &file{path: p, size: info.Size(), language: languageOf(p)})
	}
	return nil
}

func (d *folder) skipReason(entry fs.DirEntry, p string, depth int, ignores []ignoreFile) string {
	switch {
	case entry.Type()&fs.ModeSymlink != 0:
		return "symbolic links"
	case entry.IsDir() && skippedFolders[entry.Name()] != "":
		return skippedFolders[entry.Name()]
	case entry.IsDir() && depth >= maxDepth:
		return "too deep"
	case !entry.IsDir() && !entry.Type().IsRegular():
		return "no regular files"
	case p == d.exclude:
		return "this report"
	case ignored(ignores, p, entry.IsDir()):
		return "ignored by .gitignore"
	}
	return ""
}

// readDir lists a folder by name. Not through [os.Root.FS], which takes no
// names that are not valid UTF-8.
func (d *folder) readDir(dir string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	entries, err := f.ReadDir(-1)
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	return entries, err
}

// read gives at most limit bytes of a regular file.
func (d *folder) read(p string, limit int) ([]byte, error) {
	info, err := d.root.Lstat(p)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a named pipe would block for ever
		return nil, fmt.Errorf("%s is no regular file", label(p))
	}
	f, err := d.root.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	buf := make([]byte, min(int64(limit), info.Size()+1))
	n, err := readFull(f, buf)
	return buf[:n], err
}

// under gives the files below a folder, or the one file of that path.
func (d *folder) under(p string) []*file {
	p = strings.Trim(path.Clean("/"+p), "/")
	if p == "" {
		return d.files
	}
	if f := d.byLabel[p]; f != nil {
		return []*file{f}
	}
	var out []*file
	for _, f := range d.files {
		if strings.HasPrefix(f.label(), p+"/") {
			out = append(out, f)
		}
	}
	return out
}

// topFolder is the first folder of a path, or "." for a file at the root.
func topFolder(p string) string {
	if first, _, nested := strings.Cut(p, "/"); nested {
		return first
	}
	return "."
}

// mayHoldSecrets goes by the name: such a file is counted but never read.
func mayHoldSecrets(p string) bool {
	name := strings.ToLower(path.Base(p))
	switch path.Ext(name) {
	case ".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".age", ".gpg":
		return true
	}
	if name == ".env" || strings.HasPrefix(name, ".env.") || strings.HasPrefix(name, "id_rsa") || strings.HasPrefix(name, "id_ed25519") || strings.HasPrefix(name, "id_ecdsa") {
		return !strings.HasSuffix(name, ".example") && !strings.HasSuffix(name, ".sample")
	}
	switch name {
	case ".netrc", ".npmrc", ".pypirc", ".htpasswd", ".git-credentials", "credentials", "credentials.json", "secrets.json", "secrets.yaml", "secrets.yml":
		return true
	}
	return false
}
