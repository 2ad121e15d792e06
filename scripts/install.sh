#!/usr/bin/env bash
# Sees to what the tests need besides the repository. On Debian and its kin, as
# root, it installs what is missing with apt-get and says so; elsewhere it says
# what is missing and which tests are skipped for it.
set -euo pipefail
cd "$(dirname "$0")/.."

have() { command -v "$1" >/dev/null 2>&1; }

can_install() { [ "$(id -u)" = 0 ] && have apt-get; }

why_not() {
	if have apt-get; then echo "not root"; else echo "no apt-get here"; fi
}

# need PROGRAM PACKAGES WHAT-IS-SKIPPED
need() {
	local program=$1 packages=$2 skipped=$3
	if have "$program"; then
		return
	elif can_install; then
		apt_install "$packages" && have "$program" && return
		echo "MISSING  $program: apt-get could not install it; skipped: $skipped"
	else
		echo "MISSING  $program ($(why_not)); skipped: $skipped; to run it: apt-get install $packages"
	fi
}

apt_updated=
apt_install() {
	echo "installing $1 with apt-get"
	if [ -z "$apt_updated" ]; then
		apt-get -qq update || return
		apt_updated=1
	fi
	# Packages of servers start them; the tests start their own on free ports.
	local policy=/usr/sbin/policy-rc.d made=
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
		made=1
	fi
	local result=0
	# shellcheck disable=SC2086 # the packages are separate words
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $1 >/dev/null </dev/null || result=$?
	[ -z "$made" ] || rm -f "$policy"
	return "$result"
}

# check_go fails where nothing can be done without it.
check_go() {
	local wanted
	wanted=$(sed -n 's/^go //p' go.mod)
	if ! have go; then
		echo "MISSING  go: install Go $wanted or newer, see the README" >&2
		exit 1
	fi
	echo "$(go version), $(nproc 2>/dev/null || echo some) cores"
}

# install_js FOLDER WHAT-IS-SKIPPED installs the packages of the folder, as its
# lock file fixes them.
install_js() {
	local dir=$1 skipped=$2
	[ -f "$dir/package-lock.json" ] || return 0
	if ! have npm; then
		echo "MISSING  npm; skipped: $skipped"
	elif [ ! -e "$dir/node_modules/.package-lock.json" ] ||
		[ "$dir/package-lock.json" -nt "$dir/node_modules/.package-lock.json" ]; then
		echo "installing the packages of $dir with npm"
		npm ci --prefix "$dir" --no-audit --no-fund --loglevel=error </dev/null ||
			echo "MISSING  $dir/node_modules: npm ci failed; skipped: $skipped"
	fi
}

# install_python makes the environment of the Python client, with the packages
# that its requirements file fixes, and the client itself.
install_python() {
	local dir=sdk/python venv=sdk/python/.venv what="the Python client, Celery, LangGraph"
	[ -f $dir/requirements-dev.txt ] || return 0
	if ! have python3 || ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
		echo "MISSING  python3, 3.10 or newer; skipped: $what"
		return 0
	fi
	if [ -e $venv/.installed ] && cmp -s $dir/requirements-dev.txt $venv/.installed; then
		return 0
	fi
	echo "installing the packages of $dir with pip"
	if { [ -x $venv/bin/python ] || python3 -m venv $venv; } &&
		$venv/bin/python -m pip install --quiet --disable-pip-version-check -r $dir/requirements-dev.txt </dev/null &&
		$venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable $dir </dev/null; then
		cp $dir/requirements-dev.txt $venv/.installed
	else
		echo "MISSING  $venv: pip failed; skipped: $what"
	fi
}

check_go
need gcc "gcc libc6-dev" "the race detector"
need redis-server "redis-server" "everything against Redis, Redis Cluster and Sentinel"
need node "nodejs npm" "the tests with JavaScript clients in e2e/"
need npm "npm" "the tests with JavaScript clients in e2e/"
need chromium "chromium" "the tests with a browser in e2e/"
need prometheus-alertmanager "prometheus-alertmanager" "notices to a real Alertmanager"
need rabbitmqctl "rabbitmq-server" "Celery with RabbitMQ"
install_js e2e/js "the tests with JavaScript clients in e2e/"
install_js sdk/js "the JavaScript client"
install_js panel/ui "whether the panel's build is that of its source"
install_python
