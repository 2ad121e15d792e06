package main_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// eventually waits until the job's line in the list of jobs says what is wanted.
func eventually(t *testing.T, env []string, job, want string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out := ok(t, env, "", "jobs", "--json")
		for _, line := range strings.Split(out, "\n") {
			if strings.Contains(line, fmt.Sprintf(`"id":%q`, job)) && strings.Contains(line, want) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("job %s does not come to %s:\n%s", job, want, out)
		}
	}
}

// A server runs the commands of its config file for those who submit jobs.
func TestSubmitRunsACommandOfTheConfigFile(t *testing.T) {
	config := writeFile(t, "tidings.yaml", `serve:
  jobs:
    greet:
      command: [sh, -c, 'echo "hello $(cat) from $GREETER"']
      env: {GREETER: the server}
    wait:
      command: [sh, -c, 'echo begun; sleep 100']
      grace: 1s
`)
	env := serve(t, "--config", config)

	id := strings.TrimSpace(ok(t, env, "", "submit", "greet", "--name", "nightly", "--label", "a=b", "-a", "who=me"))
	eventually(t, env, id, `"status":"completed"`)
	if out := ok(t, env, "", "tail", id, "--json"); !strings.Contains(out, `hello {\"who\":\"me\"} from the server`) || !strings.Contains(out, `"a":"b"`) {
		t.Errorf("the job's log is\n%s", out)
	}
	if r := tidings(t, env, "", "submit", "rm"); r.code == 0 || !strings.Contains(r.err, "not among the commands of this server: [greet wait]") {
		t.Errorf("a command that is not there: exit code %d, %q", r.code, r.err)
	}

	ok(t, env, "", "submit", "wait", "--job", "one")
	ok(t, env, "", "submit", "wait", "--job", "two")
	eventually(t, env, "one", `"status":"running"`)
	out := ok(t, env, "", "workers")
	for _, want := range []string{"command  alive  1 ", "wait   command  1        1", "greet  command  0        0"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if out := ok(t, env, "", "workers", "--json"); !strings.Contains(out, `"name":"wait","type":"command","waiting":1,"unacked":1`) {
		t.Errorf("as JSON:\n%s", out)
	}
	for _, id := range []string{"two", "one"} {
		ok(t, env, "", "cancel", id, "--reason", "enough")
		eventually(t, env, id, `"status":"cancelled"`)
	}
}

func TestWrongCommandsInTheConfigFile(t *testing.T) {
	for text, want := range map[string]string{
		"serve:\n  jobs:\n    a: {comand: [sh]}\n":           "comand",
		"serve:\n  jobs:\n    a: {command: [no-such-one]}\n": "jobs.a",
	} {
		file := writeFile(t, "tidings.yaml", text)
		if r := tidings(t, nil, "", "serve", "--addr", "127.0.0.1:0", "--config", file); r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s gives %d, %q; want %q", text, r.code, r.err, want)
		}
	}
}
