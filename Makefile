# `make` without a target lists the targets.
SHELL := /bin/bash
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup serve watch site build dist test check rust-test api-test browser-test licences size bench bench-peers torture fuzz audit sbom screenshots format

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

setup: ## Install missing tools for building
	@tools/setup.sh build

serve: setup ## Build for release and serve on http://127.0.0.1:3000, with SQLite in ./data
	cargo build --locked --release -p cli
	cargo leptos serve --release --precompress

watch: setup ## Serve for development: rebuild and reload on every change
	cargo leptos watch

build: setup site ## Build for release: target/release/mecha-console, and the command line target/release/mecha
	cargo leptos build --release --server-only --bin-features embed
	cargo build --locked --release -p cli

# The copy keeps its files while they are the same, so that the binary is not built again.
site:
	cargo leptos build --release --precompress --frontend-only
	@diff -rq target/site target/embed >/dev/null 2>&1 || { rm -rf target/embed && cp -r target/site target/embed; }

dist: site ## Pack the release: target/dist/mecha-console-VERSION-ARCHITECTURE-linux.tar.gz and its SHA-256
	@tools/setup.sh dist
	tools/dist/dist.sh

test: ## Install missing tools and run all checks and tests
	@tools/setup.sh test
	@$(MAKE) --no-print-directory check rust-test build dist size api-test browser-test licences

check: ## Check format, lints (server and WebAssembly), docs, unused dependencies, spelling and links
	cargo fmt --all --check
	cargo clippy --locked -p app -p server -p cli --all-targets -- -D warnings
	cargo clippy --locked -p frontend --target wasm32-unknown-unknown -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links -A rustdoc::bare-urls" cargo doc --locked --quiet --no-deps --document-private-items -p app -p server -p cli
	cargo machete
	target/checks/bin/typos
	tools/unit.sh
	cd end2end && npx remark --quiet --frail --use remark-validate-links=repository:false ../README.md ../SECURITY.md ../docs

rust-test: ## Rust tests: unit tests, and the real router on fresh SQLite and PostgreSQL databases
	cargo test --locked -p app -p server -p cli -- --skip several_nodes::
	tools/postgres.sh cargo test --locked -p server --test it -- --skip backup:: --skip locked_database::

browser-test: ## Browser tests against the release build; the main ones also on PostgreSQL
	cargo build --locked -p server --example seed
	cd end2end && npx tsc --noEmit && npx playwright test
	cd end2end && ../tools/postgres.sh npx playwright test account api-keys live permissions no-javascript rotation

api-test: ## API tests generated from the OpenAPI document, against the release build
	tools/schemathesis.sh

licences: ## Check licences, bans and sources of all dependencies
	cargo deny --locked check licenses bans sources

size: ## Show the size of the page; fails if it exceeds the budget
	@node tools/size.mjs

bench: ## Benchmark verifications, runtimes and triggers against bare axum servers (half an hour)
	@tools/setup.sh bench
	@$(MAKE) --no-print-directory build
	cargo build --locked --release -p server --example bare --example bare_proxy --example bare_runtime --example fill
	node tools/bench/bench.mjs; sqlite=$$?; node tools/bench/runtimes.mjs || sqlite=1; node tools/bench/triggers.mjs || sqlite=1; POSTGRES_FSYNC=on tools/postgres.sh node tools/bench/postgres.mjs && exit $$sqlite

bench-peers: ## Benchmark the same verification in other projects (three minutes)
	@tools/setup.sh bench-peers
	@$(MAKE) --no-print-directory build
	cargo build --locked --release -p server --example bare --example fill
	tools/postgres.sh node tools/bench/peers.mjs

torture: ## Races, crashes, full disks, floods, slow clients, several nodes, fuzzing (two hours; loopback only)
	@tools/setup.sh torture
	@$(MAKE) --no-print-directory build
	TORTURE=1 cargo test --locked -p server --test it --test leases -- races upgrades no_order
	TORTURE=1 tools/postgres.sh cargo test --locked -p server --test it -- several_nodes
	node tools/torture/durability.mjs
	node tools/torture/abuse.mjs
	POSTGRES_FSYNC=on tools/postgres.sh node tools/torture/cluster.mjs
	@$(MAKE) --no-print-directory fuzz

fuzz: ## Fuzz every parser of untrusted input, one minute each (needs a nightly toolchain)
	@tools/fuzz.sh

audit: ## Check dependencies for known vulnerabilities; fails if a database cannot be reached
	@tools/setup.sh audit
	tools/audit.sh

sbom: ## Write a software bill of materials (CycloneDX) to target/sbom
	@tools/setup.sh sbom
	tools/sbom.sh

screenshots: build ## Update the screenshots in docs/, and all others in target/screenshots
	cargo build --locked -p server --example seed
	cd end2end && npx playwright test --project=screenshots
	cp target/screenshots/*-wide-light.png docs/screenshots/
	cp target/screenshots/{list-states-wide-dark,list-three-narrow-light,reveal-wide-dark}.png docs/screenshots/

format: ## Format the Rust code
	cargo fmt --all
