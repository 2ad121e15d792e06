package app

import (
	"fmt"
	"net/http"
	"path"
	"strings"
)

// checkPrefix: the prefix is a path as a URL has it.
func (c *Config) checkPrefix() error {
	if c.Prefix == "" || strings.HasPrefix(c.Prefix, "/") && path.Clean(c.Prefix) == c.Prefix && c.Prefix != "/" && !strings.ContainsAny(c.Prefix, "?#% {}") {
		return nil
	}
	return fmt.Errorf("prefix %q is not a path such as /tidings, without a slash at its end", c.Prefix)
}

// underPrefix serves the handler beneath the prefix, and nothing else but where
// the panel has gone.
func underPrefix(prefix string, h http.Handler) http.Handler {
	if prefix == "" {
		return h
	}
	mux := http.NewServeMux()
	mux.Handle(prefix+"/", http.StripPrefix(prefix, h))
	mux.Handle("GET "+prefix+"/{$}", http.StripPrefix(prefix, h))
	mux.Handle("GET /{$}", http.RedirectHandler(prefix+"/", http.StatusFound))
	mux.Handle("GET "+prefix, http.RedirectHandler(prefix+"/", http.StatusFound))
	return cleanOnly(mux, h)
}

// cleanOnly keeps ServeMux from redirecting a path that is not clean: h itself
// refuses it, so that a script whose job ID is empty does not land elsewhere.
func cleanOnly(mux, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if escaped := r.URL.EscapedPath(); escaped != "/" && path.Clean(escaped) != strings.TrimSuffix(escaped, "/") {
			h.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
