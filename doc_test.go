package tidings_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every promise in doc.go names tests, and the tests that it names exist.
func TestPromisesAreHeld(t *testing.T) {
	doc := source(t, "doc.go")
	suite := source(t, "logtest/*.go")
	held := regexp.MustCompile(`(?s)\n//  +(\d+)\. .*?\n//     \((.*?)\)\n`).FindAllStringSubmatch(doc, -1)
	if n := strings.Count(regexp.MustCompile(`\n//  +\d+\. `).ReplaceAllString(doc, "\x00"), "\x00"); len(held) != n || n == 0 {
		t.Fatalf("%d of %d promises name tests", len(held), n)
	}
	for _, promise := range held {
		for name := range strings.FieldsFuncSeq(promise[2], func(r rune) bool { return strings.ContainsRune(" ,\n", r) }) {
			pkg, test, isTest := strings.Cut(name, ".")
			switch folder := strings.Replace(pkg, "tidings", ".", 1); {
			case name == "logtest" || name == "//":
			case isTest:
				if !strings.Contains(source(t, folder+"/*_test.go"), "\nfunc "+test+"(") {
					t.Errorf("promise %s names %s, which is not there", promise[1], name)
				}
			case !strings.Contains(suite, `{name: "`+name+`"`):
				t.Errorf("promise %s names %s, which is no case of logtest", promise[1], name)
			}
		}
	}
}

// source is the text of all files that the pattern matches.
func source(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
