package demo

import (
	"path"
	"regexp"
	"strings"
)

// language says how files of one kind are recognised and read.
type language struct {
	name      string
	source    bool           // code, rather than prose, data or configuration
	functions *regexp.Regexp // one match a function, line by line; nil: not counted
}

var (
	goFunc     = regexp.MustCompile(`^func[ (]`)
	pyFunc     = regexp.MustCompile(`^\s*(async\s+)?def\s`)
	jsFunc     = regexp.MustCompile(`\bfunction\b|=>\s*[{(]?\s*$|^\s*(async\s+)?(static\s+)?\w+\([^)]*\)\s*\{\s*$`)
	rustFunc   = regexp.MustCompile(`^\s*(pub(\([^)]*\))?\s+)?(const\s+|async\s+|unsafe\s+)*fn\s`)
	rubyFunc   = regexp.MustCompile(`^\s*def\s`)
	phpFunc    = regexp.MustCompile(`\bfunction\s+\w+`)
	kotlinFunc = regexp.MustCompile(`\bfun\s+`)
	swiftFunc  = regexp.MustCompile(`\bfunc\s+\w+`)
	shellFunc  = regexp.MustCompile(`^\s*(function\s+\w+|\w+\s*\(\))\s*\{?`)
)

var languages = map[string]language{
	".go": {"Go", true, goFunc}, ".py": {"Python", true, pyFunc}, ".pyi": {"Python", true, pyFunc},
	".js": {"JavaScript", true, jsFunc}, ".mjs": {"JavaScript", true, jsFunc}, ".cjs": {"JavaScript", true, jsFunc}, ".jsx": {"JavaScript", true, jsFunc},
	".ts": {"TypeScript", true, jsFunc}, ".tsx": {"TypeScript", true, jsFunc}, ".mts": {"TypeScript", true, jsFunc},
	".rs": {"Rust", true, rustFunc}, ".rb": {"Ruby", true, rubyFunc}, ".php": {"PHP", true, phpFunc},
	".kt": {"Kotlin", true, kotlinFunc}, ".swift": {"Swift", true, swiftFunc},
	".sh": {"Shell", true, shellFunc}, ".bash": {"Shell", true, shellFunc}, ".zsh": {"Shell", true, shellFunc},
	".c": {"C", true, nil}, ".h": {"C", true, nil}, ".cc": {"C++", true, nil}, ".cpp": {"C++", true, nil}, ".hpp": {"C++", true, nil},
	".java": {"Java", true, nil}, ".cs": {"C#", true, nil}, ".scala": {"Scala", true, nil}, ".lua": {"Lua", true, nil},
	".ex": {"Elixir", true, nil}, ".exs": {"Elixir", true, nil}, ".hs": {"Haskell", true, nil}, ".zig": {"Zig", true, nil},
	".sql": {"SQL", true, nil}, ".proto": {"Protocol Buffers", true, nil}, ".vue": {"Vue", true, nil}, ".svelte": {"Svelte", true, nil},
	".html": {"HTML", true, nil}, ".css": {"CSS", true, nil}, ".scss": {"CSS", true, nil},
	".md": {"Markdown", false, nil}, ".rst": {"reStructuredText", false, nil}, ".txt": {"Text", false, nil},
	".json": {"JSON", false, nil}, ".jsonl": {"JSON", false, nil}, ".yaml": {"YAML", false, nil}, ".yml": {"YAML", false, nil}, ".toml": {"TOML", false, nil},
	".xml": {"XML", false, nil}, ".csv": {"CSV", false, nil}, ".svg": {"SVG", false, nil},
}

var languagesByName = map[string]language{
	"makefile": {"Make", true, nil}, "gnumakefile": {"Make", true, nil}, "dockerfile": {"Dockerfile", true, nil},
	"go.mod": {"Go module", false, nil}, "go.sum": {"Go module", false, nil}, "go.work": {"Go module", false, nil},
	"license": {"Text", false, nil}, "readme": {"Text", false, nil},
}

// languageDetails gives what is known of a language by its name.
var languageDetails = func() map[string]language {
	out := map[string]language{}
	for _, table := range []map[string]language{languages, languagesByName} {
		for _, l := range table {
			out[l.name] = l
		}
	}
	return out
}()

func languageOf(p string) string {
	name := strings.ToLower(path.Base(p))
	if l, ok := languagesByName[name]; ok {
		return l.name
	}
	return languages[path.Ext(name)].name
}
