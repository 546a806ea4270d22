# The one door: a person and CI call the same targets.

CARGO ?= cargo

# What is measured is built as what ships.
RELEASE := --config .cargo/release.toml --locked --release

.PHONY: help deps demo test test-all test-image bench fuzz model image lint

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## fetch crates and build the control plane the tests run on (first time: about 8 minutes)
	$(CARGO) fetch --locked
	integration-tests/control-plane/build.sh
	integration-tests/promtool/build.sh

demo: ## replay the incident against a server of its own
	@$(CARGO) run --locked --quiet --package nfs-guard -- demo

test: ## everything but the long runs: tables, TLS, and a real apiserver
	$(CARGO) test --locked --workspace

test-all: bench fuzz test-image ## what takes a release build; `make test` is not part of it
	SEED=1 SEQUENCES=20000 $(CARGO) run $(RELEASE) --quiet --package nfs-guard-integration-tests --bin model
	REAL_SEQUENCES=50 $(CARGO) test --locked --package nfs-guard-integration-tests --test it -- model::no_sequence_on_a_real
	$(CARGO) run $(RELEASE) --quiet --package nfs-guard -- demo

bench: ## what a review costs, beside its budget (2 minutes when built)
	$(CARGO) build $(RELEASE) --package nfs-guard
	$(CARGO) run $(RELEASE) --quiet --package nfs-guard-integration-tests --bin bench

fuzz: ## bend what the guard reads for FUZZ_SECONDS (60); FUZZ_SEED repeats a run
	$(CARGO) run $(RELEASE) --quiet --package nfs-guard-integration-tests --bin fuzz

model: ## hold the rule against SEQUENCES (2000) random sequences; SEED repeats a run, SEQUENCE replays one
	@$(CARGO) run --locked --quiet --package nfs-guard-integration-tests --bin model

image: ## write the image to target/image, as IMAGE (nfs-guard:VERSION)
	@$(CARGO) run --locked --quiet --package nfs-guard-image

test-image: image ## run the image's program where there is nothing else
	$(CARGO) test --locked --package nfs-guard-image --test image -- --ignored

lint: ## formatting, clippy and the documentation, without a warning
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	cd integration-tests/control-plane && test -z "$$(gofmt -l .)"
