# The commands of this repository. `make` without a target lists them.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help check test setup fmt demo docs reference bench soak fuzz deny interop keycloak python attacks

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The tests that guard the code and its documentation, without those that run servers.
GUARDS := architecture:: dependencies:: docs:: layers:: openapi::document prose:: reference:: \
	walkthrough::blocks:: walkthrough::each_block

check: ## run the quick checks of a change: formatting, lints of the library, unit tests, guards
	$(CARGO) fmt --check
	$(CARGO) clippy --lib --locked -- -D warnings
	$(CARGO) test --locked --lib
	$(CARGO) test --locked --test it -- $(GUARDS)

test: setup ## run all checks (formatting, lints, tests, documentation) and install what they need
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(CARGO) test --locked
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

setup: ## install what the tests need (rustfmt, clippy, redis-server, faketime, valgrind, nginx, haproxy, curl, Python)
	@.ci/setup

fmt: ## format the sources
	$(CARGO) fmt

demo: ## run the daemon with two Receivers and some events
	$(CARGO) run --locked -- demo

# The sources of the site: the pages with what they link to outside of docs.
SITE := target/site

docs: ## build the documentation as a site in target/docs (needs mdbook)
	@command -v mdbook >/dev/null || \
		{ echo "make docs needs mdbook: run 'cargo install --locked mdbook'." >&2; exit 1; }
	@rm -rf $(SITE) && mkdir -p $(SITE)
	@cp -R docs/. ARCHITECTURE.md config $(SITE)
	@sed -i 's|](docs/|](|g' $(SITE)/ARCHITECTURE.md
	@find $(SITE) -name '*.md' -exec sed -i -E 's,\]\(\.\./\.\./(ARCHITECTURE.md|config/),](../\1,g' {} +
	@sed -i '/^- \[Architecture\]/a \  - [ARCHITECTURE.md](ARCHITECTURE.md)' $(SITE)/SUMMARY.md
	mdbook build $(SITE) --dest-dir $(CURDIR)/target/docs

reference: ## write the pages below docs/reference, which are generated from the code
	SSFD_TEST_WRITE_REFERENCE=1 $(CARGO) test --locked --test it -- reference::

# The virtual environment with the Python packages of the tests in Python.
PYTHON := target/interop
PYTEST := INTEROP_BINARY="$(CURDIR)/target/debug/ssfd" PYTHONDONTWRITEBYTECODE=1 $(PYTHON)/bin/pytest

python:
	@test -x $(PYTHON)/bin/pytest || python3 -m venv $(PYTHON)
	$(PYTHON)/bin/pip install --quiet --requirement tests/interop/requirements.txt

interop: python ## test the daemon against independent Python libraries (JOSE, HTTP client and server)
	$(CARGO) build --locked
	$(PYTEST) tests/interop

# Keycloak and its extension keycloak-events, whose licence forbids shipping it. Only this target fetches them.
KEYCLOAK := $(CURDIR)/target/keycloak
KEYCLOAK_ARCHIVE := $(KEYCLOAK)/keycloak-quarkus-dist-26.7.3.zip
KEYCLOAK_EXTENSION := $(KEYCLOAK)/keycloak-events-0.59.jar
MAVEN_COPY := mvn --batch-mode --quiet -Dmaven.repo.local=$(KEYCLOAK)/maven -DoutputDirectory=$(KEYCLOAK) \
	org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy

$(KEYCLOAK_ARCHIVE):
	$(MAVEN_COPY) -Dartifact=org.keycloak:keycloak-quarkus-dist:26.7.3:zip

$(KEYCLOAK_EXTENSION):
	$(MAVEN_COPY) -Dartifact=io.phasetwo.keycloak:keycloak-events:0.59

keycloak: python $(KEYCLOAK_ARCHIVE) $(KEYCLOAK_EXTENSION) ## test the daemon beside a real Keycloak (needs JDK 21 or later, Maven, haproxy)
	$(CARGO) build --locked
	KEYCLOAK_ARCHIVE=$(KEYCLOAK_ARCHIVE) KEYCLOAK_EXTENSION=$(KEYCLOAK_EXTENSION) $(PYTEST) tests/keycloak

# Arguments of the benchmark that prints the report: --json, or the parts and stores to measure.
BENCH_ARGS ?=

bench: ## run all benchmarks and print one report, or JSON with BENCH_ARGS=--json
	@$(CARGO) bench --locked --bench signing --bench matching --bench mapping --bench store -- --quiet >/dev/null
	@$(CARGO) bench --locked --bench delivery -- $(BENCH_ARGS)

SOAK_MINUTES ?= 60

soak: ## run for an hour (SOAK_MINUTES) at a steady rate while Receivers fail and recover
	SOAK_MINUTES=$(SOAK_MINUTES) $(CARGO) bench --locked --bench soak

FUZZ_CASES ?= 20000

fuzz: ## run the property tests with many cases (FUZZ_CASES) and the simulation with as many runs
	PROPTEST_CASES=$(FUZZ_CASES) SIMULATION_RUNS=$(FUZZ_CASES) $(CARGO) test --locked --lib
	PROPTEST_CASES=$(FUZZ_CASES) SIMULATION_RUNS=$(FUZZ_CASES) $(CARGO) test --locked --test it -- \
		simulation store_contract push_client

ATTACKS_BINARY ?= target/release/ssfd

attacks: ## attack a release binary (ATTACKS_BINARY) in many ways, and show what a bystander notices
	python3 -B tests/attacks $(ATTACKS_BINARY)

deny: ## check licences, duplicates, advisories and sources of the dependencies
	@$(CARGO) deny --version >/dev/null 2>&1 || \
		{ echo "make deny needs cargo-deny: run 'cargo install --locked cargo-deny'." >&2; exit 1; }
	$(CARGO) deny --locked check
