// Package httpapi is the HTTP API: one [http.Handler] over a store and a hub,
// which can be mounted in any server. docs/http.md describes the API for its
// users, openapi.json for their tools.
//
// The way of a request: ServeHTTP (access log, metrics, panics) → origin.go (may
// this page or host ask at all?) → the route table in routes.go → auth.go (who
// is it, what may they do?) → a handler. Handlers return errors and write nothing
// then; problem.go alone turns errors into answers.
package httpapi
