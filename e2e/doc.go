// Package e2e tests Tidings from outside: the real binary, real Redis, real
// clients and browsers, and processes that are really killed.
package e2e
