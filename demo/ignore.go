package demo

import (
	"path"
	"strings"
)

// ignoreFile is one .gitignore: patterns that hold below its folder
// (https://git-scm.com/docs/gitignore). Character classes with "!" and escaped
// trailing spaces are not understood; such a pattern matches nothing.
type ignoreFile struct {
	dir      string // of the .gitignore; "." is the root
	patterns []ignorePattern
}

type ignorePattern struct {
	segments []string
	negated  bool // a "!" pattern takes back what an earlier one ignored
	onlyDirs bool
}

func parseIgnore(dir, text string) ignoreFile {
	out := ignoreFile{dir: dir}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		var p ignorePattern
		line, p.negated = strings.CutPrefix(line, "!")
		line, p.onlyDirs = strings.CutSuffix(line, "/")
		anchored := strings.Contains(line, "/")
		p.segments = strings.Split(strings.TrimPrefix(line, "/"), "/")
		if !anchored {
			p.segments = append([]string{"**"}, p.segments...)
		}
		out.patterns = append(out.patterns, p)
	}
	return out
}

// ignored reports whether the last pattern that matches says so; a deeper
// .gitignore overrules one above it.
func ignored(files []ignoreFile, p string, isDir bool) bool {
	verdict := false
	for _, f := range files {
		below := p
		if f.dir != "." {
			below = strings.TrimPrefix(p, f.dir+"/")
		}
		segments := strings.Split(below, "/")
		for _, pattern := range f.patterns {
			if (isDir || !pattern.onlyDirs) && matchSegments(pattern.segments, segments) {
				verdict = !pattern.negated
			}
		}
	}
	return verdict
}

// matchSegments matches a path against a pattern, segment by segment; "**"
// stands for any number of segments.
func matchSegments(pattern, segments []string) bool {
	if len(pattern) == 0 {
		return len(segments) == 0
	}
	if pattern[0] == "**" {
		for skip := range len(segments) + 1 {
			if matchSegments(pattern[1:], segments[skip:]) {
				return true
			}
		}
		return false
	}
	if len(segments) == 0 {
		return false
	}
	ok, err := path.Match(pattern[0], segments[0])
	return err == nil && ok && matchSegments(pattern[1:], segments[1:])
}
