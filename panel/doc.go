// Package panel is the web UI: its embedded build, ready to be served. It is a
// client of the public HTTP API and has no other door.
//
// The source is in ui/ (TypeScript, Preact, Vite). dist/ is its build and is
// committed, so that building the server needs no Node. The names of the assets
// are fixed and the build is the same byte for byte wherever it is made:
// build.sh makes it, and "build.sh check" says whether dist/ is what the source
// gives.
package panel
