# `make` alone says what there is.

.PHONY: help run up check test bench release

help:
	@echo 'make run     all capabilities in one process, with a demo catalogue; nothing to install, data in data/'
	@echo 'make up      three processes over Redis (config/split.toml); needs a running redis-server'
	@echo 'make check   form, lints, and the licences, sources and advisories of dependencies'
	@echo 'make bench   Essaim beside what it is built on and beside its peers, as ratios (about 10 minutes once it is built)'
	@echo 'make release the binary for servers, target/release/essaim, with its symbols beside it'
	@echo 'make test    all tests; installs what they start if it is missing (Debian): see scripts/setup'

# A debug build starts soonest on a fresh clone; for figures use `cargo run --release -- run`.
run:
	@scripts/setup build
	cargo run --locked -- run $(ARGS)

up:
	@scripts/setup build
	cargo run --locked -- up config/split.toml $(ARGS)

check:
	@scripts/setup build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p essaim-near -p essaim-store -p essaim-core --no-default-features --all-targets -- -D warnings
	cargo check --locked -p essaim-platform --no-default-features
	scripts/deny

test:
	@scripts/setup test
	scripts/with-servers cargo test --locked --workspace $(ARGS)
	cargo test --locked -p essaim-base --features loom --lib slot
	cargo test --locked -p essaim-near -p essaim-store -p essaim-core --no-default-features --lib
	@scripts/fuzz || [ $$? -eq 77 ]

release:
	@scripts/setup build
	cargo build --release --locked -p essaim-platform
	scripts/split-symbols $${CARGO_TARGET_DIR:-target}/release/essaim

# For instance ARGS="local remote --rounds 9", or ARGS="--write README.md".
bench:
	@scripts/setup bench
	cargo build --release --locked -p essaim-platform -p essaim-bench --features essaim-bench/peers
	$${CARGO_TARGET_DIR:-target}/release/essaim-bench $(ARGS)
