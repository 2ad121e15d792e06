#!/bin/sh
# Starts Redis, a Celery worker and a Tidings server, submits jobs, shows one
# live and stops another; then ends all of them. See README.md.
set -eu
cd "$(dirname "$0")"
python=${TIDINGS_PYTHON:-../../sdk/python/.venv/bin/python}
if ! "$python" -c 'import celery, redis, langgraph, tidings' 2>/dev/null; then
	python=.venv/bin/python
	if [ ! -e .venv/complete ]; then
		python3 -m venv .venv
		.venv/bin/pip install --quiet -r requirements.txt
		touch .venv/complete
	fi
fi

dir=$(mktemp -d)
pids=
finish() {
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	for pid in $pids; do wait "$pid" 2>/dev/null || true; done
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

# await TEXT FILE: until the file has the text.
await() {
	n=0
	until grep -q "$1" "$2" 2>/dev/null; do
		n=$((n + 1))
		if [ $n -gt 600 ]; then
			echo "run.sh: after a minute there is no \"$1\" in the output:" >&2
			cat "$2" >&2
			exit 1
		fi
		sleep 0.1
	done
}

tidings=$(command -v tidings || true)
if [ -z "$tidings" ]; then
	tidings=$dir/tidings
	(cd ../.. && go build -o "$tidings" ./cmd/tidings)
fi

port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export BROKER="redis://127.0.0.1:$port/0"
redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$dir" >"$dir/redis" 2>&1 &
pids="$pids $!"
await 'Ready to accept' "$dir/redis"

"$tidings" serve --addr 127.0.0.1:0 --data "$dir/data" --celery-broker "$BROKER" >"$dir/serve" 2>&1 &
pids="$pids $!"
await 'serves on http' "$dir/serve"
TIDINGS_URL=$(sed -n 's|.*serves on \(http://[^ ]*\).*|\1|p' "$dir/serve" | head -n 1)
export TIDINGS_URL

# The worker is started without -E: the server turns its events on.
PYTHONPATH=../langgraph-python "$python" -m celery -A app worker -n agents@example -c 2 -l INFO >"$dir/worker" 2>&1 &
pids="$pids $!"
await 'enabled by remote' "$dir/worker"

say() {
	printf '\n$ tidings'
	for word in "$@"; do
		case $word in *' '*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
	done
	echo
	"$tidings" "$@"
}

say submit app.ask "How is the weather in Oslo and Rome?" --job weather --tail
say submit app.ask "How is the weather in Rome?" -a pace=5 --job slow
"$tidings" tail slow >"$dir/slow" 2>&1 &
tail=$!
await '» Let' "$dir/slow"
say workers
say cancel slow --reason "it takes too long" --terminate
wait "$tail" || true
printf '\n$ tidings tail slow\n'
cat "$dir/slow"
say jobs
