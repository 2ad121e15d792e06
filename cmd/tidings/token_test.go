package main_test

import (
	"strings"
	"testing"
)

const secret = "0123456789abcdef0123456789abcdef"

func TestATokenOpensWhatItAllows(t *testing.T) {
	env := serve(t, "--jwt-secret", secret)
	with := func(args ...string) []string {
		token := ok(t, []string{"TIDINGS_JWT_SECRET=" + secret}, "", append([]string{"token"}, args...)...)
		return append(env, "TIDINGS_TOKEN="+strings.TrimSpace(token))
	}
	publisher := with("--permissions", "publish", "--jobs", "job-*", "--subject", "worker")
	ok(t, publisher, "", "publish", "job-1", "done")
	if r := tidings(t, publisher, "", "publish", "other", "done"); r.code != 2 || !strings.Contains(r.err, "403") {
		t.Errorf("another job: %d %q", r.code, r.err)
	}
	if r := tidings(t, publisher, "", "tail", "job-1"); r.code != 2 || !strings.Contains(r.err, "403") {
		t.Errorf("reading: %d %q", r.code, r.err)
	}
	ok(t, with("--permissions", "read"), "", "tail", "job-1")
	if r := tidings(t, env, "", "tail", "job-1"); r.code != 2 || !strings.Contains(r.err, "TIDINGS_TOKEN") {
		t.Errorf("without a token: %d %q", r.code, r.err)
	}
	if r := tidings(t, nil, "", "token", "--permissions", "read"); r.code != 2 || !strings.Contains(r.err, "secret") {
		t.Errorf("token without a secret: %d %q", r.code, r.err)
	}
}

func TestKeysFromAFile(t *testing.T) {
	file := writeFile(t, "keys.yaml", "- name: reader\n  key: a-long-enough-reading-key\n  permissions: [read]\n")
	env := serve(t, "--api-keys", file, "--api-key", "a-long-enough-key-for-all")
	ok(t, append(env, "TIDINGS_TOKEN=a-long-enough-key-for-all"), "", "publish", "job", "done")
	ok(t, append(env, "TIDINGS_TOKEN=a-long-enough-reading-key"), "", "tail", "job")
	if r := tidings(t, append(env, "TIDINGS_TOKEN=a-long-enough-reading-key"), "", "publish", "job", "done"); r.code != 2 {
		t.Errorf("publish with a reader's key: %d %q", r.code, r.err)
	}
	empty := writeFile(t, "keys.yaml", "[]\n")
	if r := tidings(t, nil, "", "serve", "--addr", "127.0.0.1:0", "--api-keys", empty); r.code != 2 || !strings.Contains(r.err, "no keys") {
		t.Errorf("an empty file of keys: %d %q", r.code, r.err)
	}
	if r := tidings(t, nil, "", "serve", "--addr", "0.0.0.0:0"); r.code != 2 || !strings.Contains(r.err, "without authentication") {
		t.Errorf("serving everyone: %d %q", r.code, r.err)
	}
}

// A negative time is a mistake, and must not become a token without an end.
func TestATokenCannotHaveEnded(t *testing.T) {
	r := tidings(t, nil, "", "token", "--permissions", "read", "--ttl=-1h", "--secret", strings.Repeat("s", 32))
	if r.code != 2 || r.out != "" || !strings.Contains(r.err, "--ttl") {
		t.Errorf("exit code %d, output %q, errors %q; want 2 and a word about --ttl", r.code, r.out, r.err)
	}
}
