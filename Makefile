# The commands of this repository. `make` alone lists them.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help test setup fmt demo bench soak deny interop

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: setup ## all checks: formatting, lints, tests, documentation; installs what they need
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(CARGO) test --locked
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

setup: ## install what the tests need: rustfmt, clippy, redis-server, faketime, valgrind
	@.ci/setup

fmt: ## format the sources
	$(CARGO) fmt

demo: ## the daemon with a Receiver and some events, to look at
	$(CARGO) run --locked -- demo

# Its folder is made by Python's own module venv, and holds all that it installs.
INTEROP := target/interop

interop: ## the daemon against libraries of another language: JOSE, HTTP client and server in Python
	$(CARGO) build --locked
	@test -x $(INTEROP)/bin/pytest || python3 -m venv $(INTEROP)
	$(INTEROP)/bin/pip install --quiet --requirement tests/interop/requirements.txt
	INTEROP_BINARY="$$PWD/target/debug/ssfd" PYTHONDONTWRITEBYTECODE=1 \
		$(INTEROP)/bin/pytest tests/interop

# For the benchmark that reports: --json, or the parts and stores to measure.
BENCH_ARGS ?=

bench: ## measure all on this machine and show one table, or JSON with BENCH_ARGS=--json
	@$(CARGO) bench --locked --bench signing --bench matching --bench store -- --quiet >/dev/null
	@$(CARGO) bench --locked --bench delivery -- $(BENCH_ARGS)

SOAK_MINUTES ?= 60

soak: ## an hour (SOAK_MINUTES) at a steady rate while Receivers fall ill and recover
	SOAK_MINUTES=$(SOAK_MINUTES) $(CARGO) bench --locked --bench soak

deny: ## licences, duplicates, advisories and sources of the dependencies
	@$(CARGO) deny --version >/dev/null 2>&1 || \
		{ echo "make deny needs cargo-deny: run 'cargo install --locked cargo-deny'." >&2; exit 1; }
	$(CARGO) deny --locked check
