# make run        start a broker on 4222, a page for browsers on 8080, monitoring on 8222
# make test       every test, the race detector on for the core (under 10 minutes on 2 cores)
# make lint       vet, staticcheck, formatting, tidiness, cross builds
# make test-net   tests that need network namespaces
# make test-browser  tests with JavaScript clients (node, chromium)
# make test-long  the 10 minute soak
# make fuzz       each fuzzer for FUZZTIME (60s)
# make plugins    the example plugins and the guests of tests (clang, lld, node; Debian's rustc and libstd-rust-dev-wasm32)
# make bench-plugins  what plugins cost a message
# make bench      against nats-server; ONLY=1:1,req selects scenarios

FUZZTIME ?= 60s
ONLY     ?=
BENCH    ?=

.PHONY: run build test lint test-net test-browser test-long fuzz plugins bench bench-plugins

run:
	go run ./cmd/ganglion -m 8222 --ws 8080

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/ganglion ./cmd/ganglion

test:
	go test -race -timeout 9m -skip ConversationsOver ./core/... ./listeners/... ./plugins/... ./cmd/ganglion/daemon
	go test -timeout 5m -parallel 10 -run ConversationsOver ./core/brokertest
	go test -timeout 5m -parallel 10 -tags portable -run 'TLS|WebSocket|NATSGo|Conversations' ./core/broker ./core/brokertest
	go test -timeout 5m ./cmd/... ./examples/... ./web/...
	go test -run 'Alloc|RateLimitThousand' ./core/... ./plugins/...

lint:
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff
	cd web && npm ci --no-audit --no-fund --ignore-scripts && npm run check && npm run verify
	for t in linux/amd64 linux/arm64 linux/arm darwin/arm64 darwin/amd64 windows/amd64; do \
		echo "build $$t"; GOOS=$${t%/*} GOARCH=$${t#*/} go build -o /dev/null ./cmd/ganglion || exit 1; \
		GOOS=$${t%/*} GOARCH=$${t#*/} go vet ./core/... ./listeners/... ./plugins/... ./cmd/... || exit 1; \
	done

# As root, or where user namespaces are allowed; elsewhere these tests skip (core/brokertest/link).
test-net:
	go test -count=1 -tags net -parallel 24 -run '^TestNet' -timeout 9m ./core/... ./listeners/... ./cmd/... ./examples/...

test-browser:
	go test -count=1 -tags browser -run 'JS|Browser' -timeout 9m ./core/brokertest/...

test-long:
	go test -count=1 -tags long -run Soak -timeout 20m -v ./core/brokertest/...

fuzz:
	@set -e; for p in $$(go list ./core/... ./listeners/... ./plugins/... ./cmd/...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done

# The .wasm files that they make are committed: with the same compilers they come out the same.
SDK      = plugins/sdk
CLANG   ?= clang
RUSTC   ?= $(firstword $(wildcard /usr/bin/rustc) rustc)
WASM_C   = $(CLANG) --target=wasm32 -std=c11 -O2 -mbulk-memory -nostdlib -Wall -Wextra -Werror -I$(SDK)/c \
	-Wl,--no-entry -Wl,-s -Wl,-z,stack-size=16384
WASM_RS  = $(RUSTC) --edition 2021 --crate-name plugin --target wasm32-unknown-unknown --crate-type cdylib -D warnings \
	-C opt-level=3 -C lto -C panic=abort -C strip=symbols -C target-feature=+bulk-memory -C link-arg=-zstack-size=65536
WASM_TS  = $(SDK)/testdata/node_modules/.bin/asc -O3 --noAssert --runtime minimal --exportStart _initialize \
	--use abort=$(SDK)/assemblyscript/ganglion/pluginAbort
WASM_GO  = GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags="-s -w"

plugins:
	cd $(SDK)/testdata && npm ci --no-audit --no-fund --ignore-scripts
	$(WASM_C) -o $(SDK)/testdata/conformance/c/conformance.wasm $(SDK)/testdata/conformance/c/conformance.c
	$(WASM_RS) -o $(SDK)/testdata/conformance/rust/conformance.wasm $(SDK)/testdata/conformance/rust/conformance.rs
	$(WASM_TS) -o $(SDK)/testdata/conformance/assemblyscript/conformance.wasm $(SDK)/testdata/conformance/assemblyscript/conformance.ts
	@set -e; for d in examples/plugins/*/; do d=$${d%/}; out=$$d/$${d##*/}.wasm; echo "build $$out"; \
		if test -f $$d/main.c; then $(WASM_C) -o $$out $$d/main.c; \
		elif test -f $$d/main.rs; then $(WASM_RS) -o $$out $$d/main.rs; \
		elif test -f $$d/main.ts; then $(WASM_TS) -o $$out $$d/main.ts; \
		else $(WASM_GO) -o $$out ./$$d; fi; \
	done
	chmod 644 examples/plugins/*/*.wasm $(SDK)/testdata/conformance/*/*.wasm

bench-plugins:
	go test -run '^$$' -bench 'Publish|Plugin|Runaway|Call|Fuel|Load|SDK' ./plugins ./plugins/wasm ./plugins/fuel ./plugins/sdk

bench:
	go run ./cmd/ganglion-bench $(if $(ONLY),-only '$(ONLY)') $(BENCH)
