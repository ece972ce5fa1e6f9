# Latchkey. `make help` lists the targets in reading order.
.DEFAULT_GOAL := help
.PHONY: help setup peers trees demo demo-clean test test-browser test-vm test-leak lint fuzz bench \
	bench-gateway bench-box package test-package image test-image ansible test-ansible clean

VENV := .venv
PYTHON := $(VENV)/bin/python
CHECK ?=
SLOW ?=
MINUTES ?=

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
	@$(PYTHON) -m tests.lanes $(if $(SLOW),--$(SLOW)) $(if $(MINUTES),--minutes $(MINUTES))

test-browser: setup peers ## the setup page in Chromium, from claim to a joined phone (root)
	@$(PYTHON) -m tests.lanes browser

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

bench-box: setup ## the setup page, the image and the playbook: times, sizes, memory
	@$(PYTHON) -m tests.bench box

package: setup ## build/latchkey_VERSION_all.deb, for Debian 13
	@.ci/setup package
	@image/package/build

test-package: setup ## install, upgrade and purge it in a Debian 13 under systemd (some minutes; root)
	@.ci/setup package
	@$(PYTHON) -m tests.lanes package

image: setup ## build/latchkey-VERSION-arm64.img.xz, a card for a Raspberry Pi (root)
	@.ci/setup image
	@image/build

test-image: setup ## boot the card in an emulated machine, claim it, join it to a mesh (some minutes; root)
	@.ci/setup image
	@$(PYTHON) -m tests.lanes image

ansible: setup ## build the collection latchkey.mesh and install it to build/ansible
	@.ci/setup ansible
	@.ci/ansible

test-ansible: setup ## four systems from nothing to a proven route over SSH (some minutes; root)
	@.ci/setup ansible
	@$(PYTHON) -m tests.lanes ansible

clean: ## remove what was built
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m tests.netns.demo --clean; fi
	@rm -rf build $(VENV)
