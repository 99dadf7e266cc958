# The verbs of the project. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# sqlx checks queries against .sqlx; `make prepare` makes it anew from a real server.
export SQLX_OFFLINE ?= true
CLIENTS := target/clients
CONSUMERS := target/consumers
PEERS := target/peers
FAULTS := target/faults
HAPROXY := target/haproxy
# How much `make bench` loads.
SIZE ?= default

.PHONY: help dev test build lint bench prepare release sbom test-faults test-consumers postgres clients haproxy consumers peers

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | column -t -s '|'

dev: postgres ## install what is missing, build, run the broker on a private Postgres
	cargo build --locked
	target/debug/symbolon dev $(ARGS)

test: postgres clients haproxy ## pass all tests
	cargo fetch --locked
	# Most tests wait, for Postgres or for a timer: more of them at once than there are cores.
	SYMBOLON_MODEL_JSON=$(CURDIR)/$(CLIENTS)/service-2.json RUST_TEST_THREADS=4 cargo test --locked --no-fail-fast
	$(CLIENTS)/bin/python tests/clients/run.py

build: ## the release binary: target/release/symbolon
	cargo build --locked --release

lint: ## formatting, lints, documentation, dependencies, offline query data
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
	.ci/check-queries
	.ci/check-dependencies

test-faults: postgres haproxy ## faults, replicas and attacks in full: minutes; writes docs/reliability.md
	rm -rf $(FAULTS)
	SYMBOLON_FAULTS=$(FAULTS) cargo test --locked --test faults -- --test-threads 1 --nocapture
	.ci/write-reliability $(FAULTS)

test-consumers: postgres clients consumers ## real consumers take our tokens: Ceph, go-oidc, PyJWT, jose, aws-jwt-verify, HAProxy
	cargo build --locked
	$(CLIENTS)/bin/python tests/consumers/run.py

sbom: ## a bill of materials of the release binary, CycloneDX: target/sbom/symbolon.cdx.json
	.ci/make-sbom

release: build ## an archive of the binary, its bill of materials, licence and documents, with its checksum: target/release/*.tar.gz
	.ci/make-archive

bench: postgres peers ## what the broker costs, against bare signatures and others (SIZE=small, default, full)
	cargo bench --locked --bench performance -- --size $(SIZE) --peers $(PEERS) $(ARGS)

prepare: postgres ## make the offline query data (.sqlx) anew
	.ci/with-postgres .ci/prepare-queries .sqlx

# PostgreSQL 15 or newer: installed on Debian and Ubuntu when root, asked for elsewhere.
postgres: ## install PostgreSQL where it is missing
	@.ci/install-postgres

# The AWS clients that the tests use, in an environment of their own: Python's, JavaScript's, and a browser.
clients: $(CLIENTS)/installed ## install the AWS clients of the tests and the README: target/clients/bin

JAVASCRIPT := $(addprefix tests/clients/js/,package.json package-lock.json .npmrc)

$(CLIENTS)/installed: tests/clients/requirements.txt $(JAVASCRIPT) .ci/install-clients
	.ci/install-clients $(CLIENTS)

# What the tests of faults put between brokers and PostgreSQL, unpacked from Debian's packages where the system has none.
haproxy: $(HAPROXY)/installed ## unpack HAProxy for the tests of faults

$(HAPROXY)/installed: .ci/install-haproxy .ci/unpack-packages
	.ci/install-haproxy $(HAPROXY)

# Real consumers of tokens, unpacked from Debian's packages and not installed.
consumers: $(CONSUMERS)/installed

$(CONSUMERS)/installed: .ci/install-consumers .ci/unpack-packages
	.ci/install-consumers $(CONSUMERS)

# Others that the benchmark compares with: moto_server and node's oidc-provider.
peers: $(PEERS)/installed

PEER_FILES := $(addprefix benches/performance/peers/,package.json package-lock.json .npmrc provider.js requirements.txt)

$(PEERS)/installed: $(PEER_FILES) .ci/install-peers
	.ci/install-peers $(PEERS)
