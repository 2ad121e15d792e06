#!/usr/bin/env bash
# Builds the panel from ui/ into dist/. "build.sh check" builds it elsewhere and
# fails if dist/ is not what the source gives.
set -euo pipefail
cd "$(dirname "$0")/ui"

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
	npm ci --no-audit --no-fund --loglevel=error </dev/null
fi
npx --no-install tsc --noEmit

case "${1:-build}" in
build)
	npx --no-install vite build --logLevel warn
	;;
check)
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
	npx --no-install vite build --logLevel warn --outDir "$out" --emptyOutDir
	if ! diff -r "$out" ../dist >/dev/null; then
		echo "panel/dist is not what panel/ui gives; run panel/build.sh and commit it:" >&2
		diff -rq "$out" ../dist >&2 || true
		exit 1
	fi
	echo "panel/dist is what panel/ui gives"
	;;
*)
	echo "usage: panel/build.sh [build|check]" >&2
	exit 2
	;;
esac
