#!/usr/bin/env bash
# The one test command: `make test` runs it, and so does CI. With arguments it
# runs only the steps named: tools format vet lint panel test python js bench fuzz.
#
# With CI=true what is missing fails the run instead of being skipped. FUZZTIME
# is how long each fuzz target runs, in seconds or as a number of inputs.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
root=$PWD

if [ "${CI:-}" = true ]; then
	export TIDINGS_REQUIRE_REDIS=1 TIDINGS_REQUIRE_BROWSER=1 TIDINGS_REQUIRE_CELERY=1 TIDINGS_REQUIRE_RABBITMQ=1
fi

# --- what there is to test ---------------------------------------------------

# sources PATTERN: the repository's own files.
sources() {
	find . \( -name node_modules -o -name '.?*' \) -prune -o -name "$1" -type f -print | sort
}

# modules: the folders with a Go module, the main one first.
modules() { sources go.mod | xargs -n1 dirname; }

# in_modules COMMAND…: runs the command in each, even after one has failed.
in_modules() {
	local dir failed=0
	for dir in $(modules); do
		(cd "$dir" && "$@") || failed=1
	done
	return "$failed"
}

# functions KIND: a line "folder name" for each Fuzz… or Benchmark… function of
# the module in the current folder.
functions() {
	sources '*_test.go' | xargs -r grep -HoE "^func $1[A-Za-z0-9_]*" |
		sed -E 's#/[^/]+_test\.go:func # #' | sort -u | while read -r folder name; do
		[ "$(module_of "$folder")" = . ] && echo "$folder $name"
	done
}

# module_of FOLDER: the folder of the module that it belongs to.
module_of() {
	local dir=$1
	while [ "$dir" != . ] && [ ! -f "$dir/go.mod" ]; do dir=$(dirname "$dir"); done
	echo "$dir"
}

# tool NAME…: a program of tools.mod.
tool() { GOWORK=off go tool -modfile="$root/tools.mod" "$@"; }

# --- the steps ---------------------------------------------------------------

step_tools() { scripts/install.sh; }

step_format() {
	local unformatted
	unformatted=$(sources '*.go' | xargs gofmt -l) || return
	[ -z "$unformatted" ] && return
	echo "not formatted; run gofmt -w on:"
	echo "$unformatted"
	return 1
}

step_vet() { in_modules vet; }

# vet also finds a go.mod that lacks what the module uses: nested modules do not
# notice by themselves what the main one has come to need.
vet() { go vet ./... && go mod tidy -diff; }

step_lint() { in_modules tool staticcheck ./...; }

# Includes the conformance suite against real Redis, Cluster and Sentinel, and
# the JavaScript and browser clients: these are Go tests that start what they
# need. Packages are tested one after the other, as many start processes of their
# own. The report ends with every test that was skipped, and why.
step_test() {
	local race=-race
	command -v gcc >/dev/null || race=
	# shellcheck disable=SC2086 # empty means no flag
	in_modules tool gotestsum --format pkgname --format-hide-empty-pkg -- $race -p 1 -timeout 8m ./...
}

# The Python client: types, then its tests, against a real server, Redis, Celery
# and LangGraph.
step_python() {
	[ -x sdk/python/.venv/bin/python ] || unavailable sdk/python/.venv "the Python client" || return
	(cd sdk/python && .venv/bin/python -m mypy && .venv/bin/python -m pytest -q -rs -p no:cacheprovider)
}

# The JavaScript client, against a real server, LangGraph.js and a browser.
step_js() {
	[ -d sdk/js/node_modules ] || unavailable sdk/js/node_modules "the JavaScript client" || return
	npm test --prefix sdk/js --silent
}

# The panel's committed build is what its source gives.
step_panel() {
	[ -d panel/ui/node_modules ] || unavailable panel/ui/node_modules "the panel's build" || return
	panel/build.sh check
}

# unavailable WHAT SKIPPED: says that a step is skipped, which in CI is a failure.
unavailable() {
	echo "there is no $1, which scripts/install.sh makes where it can; skipped: $2"
	skipped=1
	return 1
}

# Each benchmark runs once, so that it can't rot; `make bench` measures.
step_bench() { in_modules bench; }

bench() {
	local folders
	folders=$(functions Benchmark | cut -d' ' -f1 | sort -u)
	[ -n "$folders" ] || return 0
	# shellcheck disable=SC2086 # the folders are separate words
	go test -run '^$' -bench . -benchtime 1x -timeout 5m $folders
}

step_fuzz() { in_modules fuzz_all; }

fuzz_all() {
	local folder name failed=0
	while read -r folder name; do
		fuzz "$folder" "$name" || failed=1
	done < <(functions Fuzz)
	return "$failed"
}

# fuzz FOLDER NAME. The go command at times reports the end of the fuzzing time
# itself as a failure; one without a failing input is tried once more.
fuzz() {
	local try log
	for try in 1 2; do
		if log=$(go test -run '^$' -fuzz "^$2\$" -fuzztime "${FUZZTIME:-4s}" "$1" 2>&1); then
			echo "ok  $1 $2: $(grep -oE 'execs: [0-9]+' <<<"$log" | tail -n1)"
			return
		fi
		grep -q 'context deadline exceeded' <<<"$log" && ! grep -q 'Failing input' <<<"$log" || break
	done
	echo "$log"
	return 1
}

# --- running them ------------------------------------------------------------

summary=
failed=0

run() {
	local begin=$SECONDS result=ok
	printf '\n=== %s\n' "$1"
	skipped=
	"step_$1" </dev/null || result=FAILED
	[ -z "$skipped" ] || [ "${CI:-}" = true ] || result=skipped
	[ "$result" != FAILED ] || failed=1
	summary+=$(printf '%-8s %-7s %4ds' "$1" "$result" $((SECONDS - begin)))$'\n'
}

for step in ${*:-tools format vet lint panel test python js bench fuzz}; do
	run "$step"
done
printf '\n=== summary, %ds in all\n%s' "$SECONDS" "$summary"
exit "$failed"
