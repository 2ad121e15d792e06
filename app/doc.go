// Package app wires everything together from one [Config]: the store, the hub,
// the HTTP API and the listener. It is the only package that knows all the
// others; cmd/tidings reads flags into a Config, and a program that wants a
// server inside does the same.
package app
