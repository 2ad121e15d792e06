# `make` alone says what there is.

.DEFAULT_GOAL := help
.PHONY: help build test lint bench fuzz tools

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/tidings, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/tidings ./cmd/tidings

test: ## run everything that CI runs; installs what it lacks, where it can
	@scripts/test.sh

lint: ## check the form: gofmt, go vet, staticcheck
	@scripts/test.sh format vet lint

bench: ## measure every benchmark, one package after the other
	go test -run '^$$' -bench . -p 1 ./...

fuzz: ## fuzz each target for a minute, or for FUZZTIME
	@FUZZTIME=$${FUZZTIME:-60s} scripts/test.sh fuzz

tools: ## install what the tests need, where it can
	@scripts/install.sh
