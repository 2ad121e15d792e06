package panel

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html"
	"io/fs"
	"mime"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed all:dist
var build embed.FS

// ContentSecurityPolicy allows the page its own scripts, styles, pictures and
// requests, and nothing else: no other host, no inline code, and no way from a
// string to HTML, so that what events say can't become part of the page.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// File is a file of the build.
type File struct {
	ContentType string
	Body        []byte
	Gzip        []byte // Body compressed; nil: not worth it
	ETag        string // of the content, quoted
}

// Asset gives a file of the build by its name under assets/, such as
// "panel.js". Safe for concurrent use; the file must not be changed.
func Asset(name string) (*File, bool) {
	f, ok := assets()[name]
	return f, ok
}

// assets reads the build once. The type of a file is told by its name alone:
// what this machine knows of types must not change what is served.
var assets = sync.OnceValue(func() map[string]*File {
	files := map[string]*File{}
	entries, err := fs.ReadDir(build, "dist/assets")
	if err != nil {
		panic(err) // embedded; its tests read it
	}
	for _, entry := range entries {
		body, err := build.ReadFile(path.Join("dist/assets", entry.Name()))
		if err != nil {
			panic(err)
		}
		files[entry.Name()] = newFile(contentType(entry.Name()), body)
	}
	return files
})

func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

func newFile(contentType string, body []byte) *File {
	sum := sha256.Sum256(body)
	return &File{
		ContentType: contentType, Body: body, Gzip: compress(body),
		ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
	}
}

const minCompressed = 1 << 10

func compress(body []byte) []byte {
	if len(body) < minCompressed {
		return nil
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is one
	}
	_, _ = w.Write(body) // into memory
	_ = w.Close()
	return out.Bytes()
}

// Page says what the page is to know before it asks the API anything.
type Page struct {
	// Base is the panel's root, relative to the page that is shown, such as "./"
	// or "../". So the panel works under any prefix without knowing it.
	Base string
	// ReadOnly leaves out what changes anything.
	ReadOnly bool
}

// HTML is the page. It is the same for every path; the script in it looks at the
// path.
func (p Page) HTML() *File {
	index, err := build.ReadFile("dist/index.html")
	if err != nil {
		panic(err) // embedded; its tests read it
	}
	text := strings.NewReplacer(
		`<base href="./"`, `<base href="`+html.EscapeString(p.Base)+`"`,
		`data-read-only="false"`, `data-read-only="`+strconv.FormatBool(p.ReadOnly)+`"`,
	).Replace(string(index))
	return newFile("text/html; charset=utf-8", []byte(text))
}
