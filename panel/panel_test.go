package panel

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"strings"
	"testing"
)

// The committed build is whole: a page that names a script and a style sheet
// which are there, under names that never change.
func TestBuildIsCommitted(t *testing.T) {
	t.Parallel()
	page := string(Page{Base: "./"}.HTML().Body)
	for _, name := range []string{"panel.js", "panel.css", "icon.svg"} {
		f, ok := Asset(name)
		if !ok || len(f.Body) == 0 || f.ContentType == "" {
			t.Errorf("%s is missing or empty; run panel/build.sh", name)
		}
		if !strings.Contains(page, "./assets/"+name) {
			t.Errorf("the page does not use %s", name)
		}
	}
	if len(assets()) != 3 {
		t.Errorf("the build has %d files, want the three with fixed names", len(assets()))
	}
	if _, ok := Asset("index.html"); ok {
		t.Error("the page is among the assets")
	}
}

// What is compressed is the file itself.
func TestGzip(t *testing.T) {
	t.Parallel()
	f, _ := Asset("panel.js")
	r, err := gzip.NewReader(bytes.NewReader(f.Gzip))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(body, f.Body) {
		t.Errorf("the compressed script is another one (%v)", err)
	}
	if len(f.Gzip) > 100<<10 {
		t.Errorf("the script has %d bytes compressed; what made it so large?", len(f.Gzip))
	}
}

// The page says what it was told, and a strange base can't leave its attribute.
func TestPage(t *testing.T) {
	t.Parallel()
	page := string(Page{Base: `"><script>`, ReadOnly: true}.HTML().Body)
	if strings.Contains(page, `"><script>`) {
		t.Error("the base is not escaped")
	}
	if !strings.Contains(page, `data-read-only="true"`) {
		t.Error("read-only is not told")
	}
	if a, b := (Page{Base: "./"}).HTML(), (Page{Base: "../"}).HTML(); a.ETag == b.ETag {
		t.Error("different pages have the same ETag")
	}
}

// Nothing in the build leads to another host: the panel works without a network,
// and tells nobody that it is used.
func TestNoOtherHosts(t *testing.T) {
	t.Parallel()
	names := []string{"http://www.w3.org/"} // names of XML, never asked for
	err := fs.WalkDir(build, "dist", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := build.ReadFile(path)
		text := string(body)
		for _, name := range names {
			text = strings.ReplaceAll(text, name, "")
		}
		for _, scheme := range []string{"http://", "https://", "sourceMappingURL"} {
			if at := strings.Index(text, scheme); at >= 0 {
				t.Errorf("%s: …%q", path, text[at:min(len(text), at+80)])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
