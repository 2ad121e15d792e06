#!/bin/sh
# Installs what the example needs into node_modules beside it, once, and runs it.
set -e
cd "$(dirname "$0")"
if [ ! -e node_modules/.package-lock.json ]; then
	npm ci --no-audit --no-fund --loglevel=error
fi
exec node main.js "$@"
