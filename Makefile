# Countersign. `make dev` runs it, `make test` tests it.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO      ?= go
BIN     := build/countersign
export CGO_ENABLED ?= 0

.PHONY: dev build test unit targets e2e lint bench fuzz robustness deps clean

## dev: build, and run a server with everything under ./.countersign
dev: build
	@$(BIN) dev

## build: the one binary, static
build:
	@mkdir -p build
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/countersign

## test: install what the tests need and run all of them
test: deps unit e2e

## unit: needs nothing but Go
unit:
	$(GO) vet ./...
	CGO_ENABLED=1 $(GO) test -race -timeout 15m ./...
	cd internal/front/sigv4/sdktest && $(GO) test ./...

## targets: rotation against real databases
targets:
	scripts/with-databases $(GO) test -count=1 -timeout 10m ./internal/rotator/... ./internal/core/rotation

## e2e: real clients against the real server
e2e: build targets
	scripts/e2e

## deps: install what the tests need beside Go: aws CLI, boto3, databases, Node packages
deps:
	scripts/test-deps

## lint: formatting, vet, staticcheck, known vulnerabilities
lint:
	scripts/lint

## bench: measure beside a bare net/http server; writes build/bench.json
bench: build
	cd test/bench && $(GO) run . -out ../../build/bench.json

## fuzz: every fuzz target for FUZZTIME each
FUZZTIME ?= 30s
fuzz:
	scripts/fuzz $(FUZZTIME)

## robustness: long runs: kill -9, also in the middle of rotations, and power cuts
robustness: deps build
	COUNTERSIGN_TEST_STRACE=1 $(GO) test -timeout 30m ./internal/kv/...
	COUNTERSIGN_TEST_KILLS=20 scripts/with-databases $(GO) test -count=1 -timeout 60m -run TestKilled ./internal/core/rotation
	cd test/robustness && KILLS=200 $(GO) test -v -timeout 60m ./...

clean:
	rm -rf build .countersign
