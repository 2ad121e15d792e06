package demo

import (
	"context"
	"encoding/json"
	"path"
	"regexp"
	"sort"
	"strings"
)

// manifest is what a package manager's file says of a part of the folder.
type manifest struct {
	Path      string   `json:"path"`
	Ecosystem string   `json:"ecosystem"`
	Name      string   `json:"name,omitempty"`
	Direct    []string `json:"direct"`             // dependencies asked for by name
	Indirect  int      `json:"indirect,omitempty"` // listed, but asked for by others
	Dev       []string `json:"dev,omitempty"`      // for development only
}

// manifestParsers by file name. They read what is commonly written, and are no
// full parsers of the formats.
var manifestParsers = map[string]func(text string) manifest{
	"go.mod":           parseGoMod,
	"package.json":     parsePackageJSON,
	"pyproject.toml":   parsePyproject,
	"requirements.txt": parseRequirements,
	"Cargo.toml":       parseCargo,
}

// manifests reads every manifest of the folder, those nearest to its root first.
func (d *folder) manifests(ctx context.Context) ([]manifest, error) {
	var out []manifest
	for _, f := range d.files {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		parse := manifestParsers[path.Base(f.path)]
		if parse == nil {
			continue
		}
		text, reason := d.text(f)
		if reason != "" {
			continue
		}
		m := parse(string(text))
		m.Path = f.label()
		sort.Strings(m.Direct)
		sort.Strings(m.Dev)
		out = append(out, m)
	}
	sort.SliceStable(out, func(i, j int) bool { return strings.Count(out[i].Path, "/") < strings.Count(out[j].Path, "/") })
	return out, nil
}

// parseGoMod reads https://go.dev/ref/mod#go-mod-file.
func parseGoMod(text string) manifest {
	m := manifest{Ecosystem: "Go"}
	block := ""
	for line := range strings.Lines(text) {
		code, comment, _ := strings.Cut(strings.TrimSpace(line), "//")
		words := strings.Fields(code)
		switch {
		case len(words) == 0:
		case words[0] == ")":
			block = ""
		case len(words) == 2 && words[1] == "(":
			block = words[0]
		case words[0] == "module" && len(words) > 1:
			m.Name = strings.Trim(words[1], `"`)
		case block == "require":
			m.addGo(words[0], comment)
		case words[0] == "require" && len(words) > 1:
			m.addGo(words[1], comment)
		}
	}
	return m
}

func (m *manifest) addGo(module, comment string) {
	if strings.TrimSpace(comment) == "indirect" {
		m.Indirect++
		return
	}
	m.Direct = append(m.Direct, strings.Trim(module, `"`))
}

func parsePackageJSON(text string) manifest {
	var p struct {
		Name            string            `json:"name"`
		Dependencies    map[string]string `json:"dependencies"`
		DevDependencies map[string]string `json:"devDependencies"`
	}
	_ = json.Unmarshal([]byte(text), &p) // what can't be read is not listed
	return manifest{Ecosystem: "npm", Name: p.Name, Direct: keys(p.Dependencies), Dev: keys(p.DevDependencies)}
}

func keys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

// tomlLines calls visit for every line that says something, with the name of
// its table. Multi-line arrays come as one line.
func tomlLines(text string, visit func(table, key, value string)) {
	table, open := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if open != "" {
			line = open + " " + line
			open = ""
		} else if line[0] == '[' {
			table = strings.Trim(line, "[] ")
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if strings.HasPrefix(value, "[") && !strings.HasSuffix(value, "]") && len(line) < 64<<10 {
			open = line
			continue
		}
		visit(table, strings.Trim(key, `"`), value)
	}
}

var (
	quotedText      = regexp.MustCompile(`"([^"]+)"|'([^']+)'`)
	requirementName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*`)
)

// parsePyproject reads PEP 621 and Poetry tables.
func parsePyproject(text string) manifest {
	m := manifest{Ecosystem: "Python"}
	tomlLines(text, func(table, key, value string) {
		switch {
		case (table == "project" || table == "tool.poetry") && key == "name":
			m.Name = strings.Trim(value, `"'`)
		case table == "project" && key == "dependencies":
			m.Direct = append(m.Direct, requirements(value)...)
		case table == "tool.poetry.dependencies" && key != "python":
			m.Direct = append(m.Direct, key)
		case table == "project.optional-dependencies" || table == "dependency-groups":
			m.Dev = append(m.Dev, requirements(value)...)
		case table == "tool.poetry.group.dev.dependencies" || table == "tool.poetry.dev-dependencies":
			m.Dev = append(m.Dev, key)
		}
	})
	return m
}

func requirements(array string) []string {
	var out []string
	for _, found := range quotedText.FindAllStringSubmatch(array, -1) {
		if name := requirementName.FindString(found[1] + found[2]); name != "" {
			out = append(out, name)
		}
	}
	return out
}

func parseRequirements(text string) manifest {
	m := manifest{Ecosystem: "Python"}
	for line := range strings.Lines(text) {
		if name := requirementName.FindString(strings.TrimSpace(line)); name != "" {
			m.Direct = append(m.Direct, name)
		}
	}
	return m
}

func parseCargo(text string) manifest {
	m := manifest{Ecosystem: "Rust"}
	tomlLines(text, func(table, key, value string) {
		switch table {
		case "package":
			if key == "name" {
				m.Name = strings.Trim(value, `"`)
			}
		case "dependencies":
			m.Direct = append(m.Direct, key)
		case "dev-dependencies", "build-dependencies":
			m.Dev = append(m.Dev, key)
		}
	})
	return m
}
