# What a newcomer types. Every recipe is plain sh; cargo does the building.
CARGO ?= cargo
PYTHON ?= python3
# One folder for install, test and benchmarks, so that nothing is built twice.
export CARGO_TARGET_DIR ?= $(CURDIR)/target
export PYTHON

.PHONY: help preflight libtorch install test lint bench book python python-test clean
help:
	@echo "make install   build rlx and put it on the PATH (downloads libtorch for CPUs, once, into the user's cache)"
	@echo "make test      every check of this repository: formatting, lints, documentation, tests"
	@echo "make lint      the checks without the tests"
	@echo "make bench     throughput of worlds and learners"
	@echo "make book      write the generated parts of docs/ anew and build the book into target/book"
	@echo "make python    the Python package, built and installed for \$$PYTHON (needs no libtorch)"
	@echo "make python-test  its checks, in an environment of their own"
	@echo "make clean     remove what was built here; the cache stays"

preflight:
	@sh tools/preflight.sh

libtorch: preflight
	@$(PYTHON) tools/libtorch.py

install: libtorch
	@$(CARGO) install --path experiments --locked --force
	@sh tools/on-path.sh

lint: libtorch
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps --locked --quiet

test: lint
	@sh tools/test.sh

bench: libtorch
	$(CARGO) build --release --locked -p rlx-experiments
	@$(CARGO_TARGET_DIR)/release/rlx bench

book: libtorch
	$(CARGO) build --release --locked -p rlx-experiments
	@RLX=$(CARGO_TARGET_DIR)/release/rlx $(PYTHON) tools/book.py
	@sh tools/book.sh

python:
	$(PYTHON) -m pip install ./python

python-test:
	@sh python/test.sh

clean:
	$(CARGO) clean
