package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"path"
	"regexp"
	"sort"
	"strings"
)

// entryPoint is a place where something starts: a program, a script, a build.
type entryPoint struct {
	Path string `json:"path"`
	Kind string `json:"kind"`
}

var (
	goMain = regexp.MustCompile(`(?m)^package main$`)
	goRun  = regexp.MustCompile(`(?m)^func main\(\)`)
	pyMain = regexp.MustCompile(`(?m)^if __name__ == ['"]__main__['"]`)
)

// entryPointsByName are recognised without a look inside.
var entryPointsByName = map[string]string{
	"__main__.py": "Python program", "manage.py": "Django commands",
	"makefile": "Make targets", "gnumakefile": "Make targets", "justfile": "Just targets",
	"dockerfile": "container image", "containerfile": "container image", "docker-compose.yml": "containers", "docker-compose.yaml": "containers", "compose.yaml": "containers",
	"procfile": "processes",
}

// entryPoints looks for them in every file. Programs come first, and those that
// lie where a project keeps its main ones.
func (d *folder) entryPoints(ctx context.Context) ([]entryPoint, error) {
	out := []entryPoint{}
	for _, f := range d.files {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		for _, kind := range d.entryKinds(f) {
			out = append(out, entryPoint{Path: f.label(), Kind: kind})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].rank() < out[j].rank() })
	return out, nil
}

// rank orders entry points by how likely they are what people start.
func (e entryPoint) rank() int {
	switch program := strings.HasSuffix(e.Kind, "program"); {
	case program && (strings.HasPrefix(e.Path, "cmd/") || !strings.Contains(e.Path, "/")):
		return 0
	case program:
		return 1
	}
	return 2 + strings.Count(e.Path, "/")
}

func (d *folder) entryKinds(f *file) []string {
	name := strings.ToLower(path.Base(f.path))
	if kind := entryPointsByName[name]; kind != "" {
		return []string{kind}
	}
	if strings.HasSuffix(f.path, "src/main.rs") || f.path == "main.rs" {
		return []string{"Rust program"}
	}
	switch {
	case path.Ext(name) != ".go" && path.Ext(name) != ".py" && name != "package.json":
		return nil
	case strings.HasSuffix(name, "_test.go"):
		return nil
	}
	text, reason := d.text(f)
	if reason != "" {
		return nil
	}
	switch {
	case name == "package.json":
		return packageScripts(text)
	case path.Ext(name) == ".go" && goMain.Match(text) && goRun.Match(text):
		if bytes.Contains(text, []byte("//go:build ignore")) {
			return []string{"Go program, run by hand"}
		}
		return []string{"Go program"}
	case path.Ext(name) == ".py" && pyMain.Match(text):
		return []string{"Python program"}
	}
	return nil
}

// packageScripts names the scripts of a package.json that people run first.
func packageScripts(text []byte) []string {
	var p struct {
		Scripts map[string]string `json:"scripts"`
	}
	_ = json.Unmarshal(text, &p) // what can't be read is not listed
	var out []string
	for _, name := range []string{"start", "dev", "build", "test"} {
		if p.Scripts[name] != "" {
			out = append(out, "npm run "+name)
		}
	}
	return out
}
