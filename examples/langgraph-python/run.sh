#!/bin/sh
# Installs what the example needs into .venv beside it, once, and runs it.
set -e
cd "$(dirname "$0")"
if [ ! -e .venv/complete ]; then
	python3 -m venv .venv
	.venv/bin/pip install --quiet -r requirements.txt
	touch .venv/complete
fi
exec .venv/bin/python main.py "$@"
