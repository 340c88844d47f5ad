# `make` alone lists what there is to make.
SHELL := /bin/bash
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup serve watch build test check rust-test api-test browser-test licences size bench bench-peers torture fuzz audit sbom screenshots format

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

setup: ## Set up whatever is missing for building
	@tools/setup.sh build

serve: setup ## Build for release and serve on http://127.0.0.1:3000, with SQLite in ./data
	cargo leptos serve --release --precompress

watch: setup ## Serve while developing: rebuild and reload on every change
	cargo leptos watch

build: setup ## The release build: target/release/server and target/site
	cargo leptos build --release --precompress

test: ## Set up whatever is missing and run everything
	@tools/setup.sh test
	@$(MAKE) --no-print-directory check rust-test build size api-test browser-test licences

check: ## Format, and clippy for server and for WebAssembly
	cargo fmt --all --check
	cargo clippy --locked -p app -p server --all-targets --features app/ssr -- -D warnings
	cargo clippy --locked -p frontend --target wasm32-unknown-unknown -- -D warnings

rust-test: ## Rust tests: the rules, and the real router over fresh databases of both kinds
	cargo test --locked -p app -p server --features app/ssr -- --skip several_nodes::
	tools/postgres.sh cargo test --locked -p server --features app/ssr --test it -- --skip backup:: --skip locked_database::

browser-test: ## Browser tests against the release build, the main ones also on PostgreSQL
	cargo build --locked -p server --example seed
	cd end2end && npx tsc --noEmit && npx playwright test
	cd end2end && ../tools/postgres.sh npx playwright test account api-keys live rotation

api-test: ## Requests made from the API's description, against the release build
	tools/schemathesis.sh

licences: ## Licences, bans and sources of all dependencies
	cargo deny --locked check licenses bans sources

size: ## What the page weighs; fails beyond its budget
	@node tools/size.mjs

bench: ## What a verification costs, beside a bare axum server (twenty minutes)
	@tools/setup.sh bench
	cargo leptos build --release --precompress
	cargo build --locked --release -p server --example bare --example fill
	node tools/bench/bench.mjs; sqlite=$$?; POSTGRES_FSYNC=on tools/postgres.sh node tools/bench/postgres.mjs && exit $$sqlite

bench-peers: ## The same verification by others, in one run (three minutes)
	@tools/setup.sh bench-peers
	cargo leptos build --release --precompress
	cargo build --locked --release -p server --example bare --example fill
	tools/postgres.sh node tools/bench/peers.mjs

torture: ## Races, crashes, full disks, floods, slow clients, strangers' bytes, many nodes (two hours; loopback only)
	@tools/setup.sh torture
	cargo leptos build --release --precompress
	TORTURE=1 cargo test --locked -p server --features app/ssr --test it --test leases -- races upgrades no_order
	TORTURE=1 tools/postgres.sh cargo test --locked -p server --features app/ssr --test it -- several_nodes
	node tools/torture/durability.mjs
	node tools/torture/abuse.mjs
	POSTGRES_FSYNC=on tools/postgres.sh node tools/torture/cluster.mjs
	@$(MAKE) --no-print-directory fuzz

fuzz: ## Strangers' bytes for every parser, a minute each (needs a nightly toolchain)
	@tools/fuzz.sh

audit: ## Known vulnerabilities of everything used; fails where they cannot be looked up
	@tools/setup.sh audit
	tools/audit.sh

sbom: ## What the server is made of, as CycloneDX, in target/sbom
	@tools/setup.sh sbom
	tools/sbom.sh

screenshots: build ## The pictures in docs/, and all others in target/screenshots
	cargo build --locked -p server --example seed
	cd end2end && npx playwright test --project=screenshots
	cp target/screenshots/*-wide-light.png docs/screenshots/
	cp target/screenshots/{list-states-wide-dark,list-three-narrow-light,reveal-wide-dark}.png docs/screenshots/

format: ## Format everything
	cargo fmt --all
