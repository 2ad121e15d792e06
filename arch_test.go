package tidings_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layer says what the packages of a row may import of ours. A name stands for
// the package below the module, "." for the root, and "…/*" for all beneath.
type layer struct {
	packages []string
	imports  []string
}

// layers is the way of an event: callback → publisher → log → hub → httpapi →
// client, panel; and log → feed → monitor → alert → notify. What is not listed
// is not allowed.
var layers = []layer{
	{packages: []string{".", "panel"}, imports: nil},
	{packages: []string{"wire", "logtest", "hub", "monitor", "callback/*", "internal/*"}, imports: []string{"."}},
	{packages: []string{"pebblelog", "redislog", "client", "celery", "runner", "demo"}, imports: []string{".", "wire"}},
	{packages: []string{"alert"}, imports: []string{".", "monitor"}},
	{packages: []string{"notify/*"}, imports: []string{".", "alert"}},
	{packages: []string{"httpapi"}, imports: []string{".", "wire", "hub", "monitor", "alert", "panel"}},
	{packages: []string{"cmd/*"}, imports: []string{".", "wire", "app", "client", "demo", "runner"}},
	// The only one that knows all, and what works with the whole of it.
	{packages: []string{"app"}, imports: append(slices.Clone(parts), "wire", "client", "notify/*", "demo")},
	{packages: []string{"e2e", "bench", "examples/*"}, imports: append(slices.Clone(parts), "app", "client", "wire", "internal/*")},
}

var parts = []string{".", "pebblelog", "redislog", "hub", "httpapi", "monitor", "alert", "celery", "runner", "panel"}

// inTests may be imported by the tests of any package besides its own row:
// tests run on the real parts.
var inTests = append(slices.Clone(parts), "wire", "client", "logtest", "internal/*")

// stdOnly are the packages that everybody imports; they bring nothing along.
var stdOnly = []string{".", "wire", "hub"}

// forTests are the only packages that may import testing outside of tests, so
// that no test helper reaches a user's binary.
var forTests = []string{"logtest", "internal/*"}

type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range listPackages(t) {
		name := ours(p.ImportPath)
		row := slices.IndexFunc(layers, func(l layer) bool { return matches(l.packages, name) })
		if row < 0 {
			t.Errorf("package %s has no row in layers: say what it may import", name)
			continue
		}
		allowed := layers[row].imports
		for _, path := range p.Imports {
			switch imported := ours(path); {
			case imported == "":
				if thirdParty(path) && matches(stdOnly, name) {
					t.Errorf("%s imports %s, but only the standard library is allowed", name, path)
				}
				if path == "testing" && !matches(forTests, name) {
					t.Errorf("%s imports testing outside of its tests", name)
				}
			case !matches(allowed, imported):
				t.Errorf("%s imports %s; allowed are %v", name, imported, allowed)
			}
		}
		for _, path := range append(p.TestImports, p.XTestImports...) {
			if imported := ours(path); imported != "" && imported != name && !matches(allowed, imported) && !matches(inTests, imported) {
				t.Errorf("a test of %s imports %s", name, imported)
			}
		}
	}
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		if exit, ok := err.(*exec.ExitError); ok {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Skipf("go list can't be run: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// ours is the package's name below the module, "." for the root, or "" for
// another module's.
func ours(path string) string {
	if path == "tidings" {
		return "."
	}
	name, ok := strings.CutPrefix(path, "tidings/")
	if !ok {
		return ""
	}
	return name
}

func matches(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		folder, all := strings.CutSuffix(n, "*")
		return n == name || (all && strings.HasPrefix(name, folder))
	})
}

// thirdParty reports whether the path begins with a host name.
func thirdParty(path string) bool {
	host, _, _ := strings.Cut(path, "/")
	return strings.Contains(host, ".")
}
