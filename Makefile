# Latchkey. `make help` lists the targets in reading order.
.DEFAULT_GOAL := help
.PHONY: help setup peers trees demo demo-clean test test-vm test-leak lint fuzz bench bench-gateway clean

VENV := .venv
PYTHON := $(VENV)/bin/python
CHECK ?=
SLOW ?=

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: build/setup.stamp ## install Debian packages (root or sudo) and the locked Python packages
build/setup.stamp: requirements/dev.txt .ci/packages.txt .ci/setup pyproject.toml
	@.ci/setup
	@mkdir -p build && touch $@

peers: setup ## install the reference programs that tests and benchmarks compare with
	@.ci/peers

trees: setup ## make the small Debian systems whose firewalls tests run beside ours (root)
	@.ci/trees

demo: setup ## the whole mesh on a small internet; CHECK=1 checks it and ends
	@$(PYTHON) -m tests.netns.demo $(if $(CHECK),--check)

demo-clean: setup ## remove whatever an earlier demo left
	@$(PYTHON) -m tests.netns.demo --clean

test: setup peers trees ## everything that this machine can run, cheapest first, then a table of it
	@$(PYTHON) -m tests.lanes $(if $(SLOW),--$(SLOW))

test-vm: setup peers ## the kernel's own WireGuard, in an emulated virtual machine (some minutes; root)
	@$(PYTHON) -m tests.lanes vm

test-leak: setup peers ## ten minutes of mishaps to an exit node's client, its cable recorded (root)
	@$(PYTHON) -m tests.lanes leak

lint: setup ## formatting, lint, types and import rules only
	@$(PYTHON) -m tests.lanes lint

fuzz: setup ## the fuzz targets, longer than in `make test`
	@LATCHKEY_FUZZ_EXAMPLES=20000 $(PYTHON) -m tests.lanes fuzz

bench: setup peers ## ours beside the peers, as tables and build/bench/*.json
	@$(PYTHON) -m tests.bench

bench-gateway: setup ## forwarding under large filters and NAT, and how long an update takes
	@$(PYTHON) -m tests.bench gateway

clean: ## remove what was built
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m tests.netns.demo --clean; fi
	@rm -rf build $(VENV)
