# One target per thing to do; `make` alone lists them.

GO          ?= go
FUZZTIME    ?= 20s
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
BENCH       ?= ./internal/oauthtest/bench
ARGS        ?=
FAULTS      ?= 200
SEED        ?=

# The race detector looks at our code and at what it calls, but not into SQLite, which was
# translated from C: it knows nothing of its memory, and takes half of the time. Garbage is
# collected less often than it would be, as long as that takes no more than 2 GiB. `make
# test` vets what it runs, built as it runs it, so that nothing is compiled or vetted twice.
RACE = -race -gcflags='modernc.org/...=-race=false -d=checkptr=0'
TEST = GOTMPDIR="$${TMPDIR:-/tmp}" TMPDIR="$$(scripts/test-directory)" GOGC=400 GOMEMLIMIT=2GiB $(GO) test -vet=off $(RACE) -shuffle=on -timeout 30m

.DEFAULT_GOAL := help
.PHONY: help run build setup test check bench torture fuzz screenshots

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: ## start a server to try everything on, with demo clients and people
	$(GO) run ./cmd/hufu serve --demo $(ARGS)

build: ## build bin/hufu, static, without the paths of this machine
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/hufu ./cmd/hufu

setup: ## install what the tests need and this machine lacks (Debian packages)
	@scripts/setup-tests

test: setup ## run every test, shuffled, under the race detector, on both databases
	@GO='$(GO)' scripts/check-format
	$(GO) vet $(RACE) ./...
	$(TEST) -p 3 -skip '^TestScreenshots$$' ./internal/torture ./internal/spec ./...
	OAUTHTEST_ENGINE=postgres $(TEST) -parallel 4 ./internal/spec

check: ## check format, vet, lint, the rules of the house and generated files
	@GO='$(GO)' scripts/check-format
	$(GO) mod verify
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) -checks all ./...
	$(GO) test -run 'House|Reference' ./internal ./internal/config

bench: ## measure requests against a floor (ARGS go to the program)
	$(GO) run $(BENCH) $(ARGS)

torture: setup ## long histories with FAULTS (200) on each database; SEED repeats one
	TORTURE_FAULTS='$(FAULTS)' TORTURE_SEED='$(SEED)' $(GO) test -count=1 -v -timeout 90m -run History ./internal/torture

fuzz: ## run every fuzz target for FUZZTIME (20s) each
	@GO='$(GO)' scripts/fuzz '$(FUZZTIME)'

screenshots: setup ## take a picture of every page into screenshots/
	HUFU_SCREENSHOTS='$(CURDIR)/screenshots' $(GO) test -count=1 -run Screenshots ./internal/spec
