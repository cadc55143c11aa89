# Set-up, demo, tests and gates. `make help` lists the targets; README.md says what they need.
#
# Every target that compiles goes through `build_env`: one target directory and one pair of compilers, and one profile for all but
# `make bench`, so that RocksDB is compiled once. Changing CC or CXX between two calls would make cargo compile it again.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# `make -n` runs every recipe that names $(MAKE) itself, and with .ONESHELL that would be the whole gate.
AGAIN := $(MAKE)

TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/debug
SHIPPED := $(TARGET)/release
ROCKSDB_BUILT = ls "$(TARGET)"/debug/build/librocksdb-sys-*/out/librocksdb.a >/dev/null 2>&1

CITIZENS ?= 100000
BIRTHS ?= 1000
# With faults and load, of make chaos.
MINUTES ?= 10
# Of make sim-long: how many simulated nations, and the first of them.
SEEDS ?= 1000
FROM ?= 100000

# What a cold and a warm build need, with the demo's data.
DISK_GIB_COLD := 12
DISK_GIB_WARM := 4
MEMORY_GIB := 6

define build_env
if command -v ccache >/dev/null; then export CC="ccache cc" CXX="ccache c++"; fi
endef

.PHONY: help deps build demo clean-demo test sim sim-long mutations chaos chaos-long chaos-tools endurance verify fix audit env bench

help: ## List the targets
	@echo "Banyan. Two commands do everything from a fresh clone: make demo, make test"
	echo
	grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	echo
	echo "  KEEP=1       make demo leaves its cluster running"
	echo "  CITIZENS=n   population of make demo (default 100000); BIRTHS=n (default 1000)"
	echo "  INSTALL=0    never install anything; name what is missing and stop"
	echo "  MINUTES=n    make chaos and make chaos-long inject faults for so long (default 10); SEED=n draws those of another run"
	echo "  SEEDS=n      make sim-long runs so many seeds (default 1000); FROM=n is the first of them (default 100000)"
	echo "  QUICK=1      make bench tries everything for a second each, and writes no document"
	echo "  FORCE=1      go on although disk or memory look too small"

deps: ## Check disk, memory and tools; install what is missing
	@mkdir -p "$(TARGET)"
	need_disk=$(DISK_GIB_COLD)
	if $(ROCKSDB_BUILT); then need_disk=$(DISK_GIB_WARM); fi
	free_disk=$$(( $$(df -Pk "$(TARGET)" | awk 'NR == 2 { print $$4 }') / 1048576 ))
	free_memory=$$(awk '/^MemAvailable:/ { print int($$2 / 1048576) }' /proc/meminfo)
	short=""
	if [ "$$free_disk" -lt "$$need_disk" ]; then
	  short="disk: $$free_disk GiB are free where $(TARGET) lies, $$need_disk GiB are needed"
	fi
	if [ "$$free_memory" -lt $(MEMORY_GIB) ]; then
	  short="$${short:+$$short; }memory: $$free_memory GiB are available, $(MEMORY_GIB) GiB are needed"
	fi
	if [ -n "$$short" ] && [ "$(FORCE)" != 1 ]; then
	  echo "make: $$short. FORCE=1 goes on all the same." >&2
	  exit 1
	fi
	if ! command -v cargo >/dev/null; then
	  echo "make: no Rust toolchain: cargo is not on the path. https://rustup.rs installs one." >&2
	  exit 1
	fi
	# RocksDB is C++, and bindgen reads its headers through libclang.
	libclang() {
	  local folder
	  for folder in "$${LIBCLANG_PATH:-/nowhere}" '/usr/lib/llvm-*/lib' '/usr/lib/*' '/usr/lib*' /usr/local/lib; do
	    if compgen -G "$$folder/libclang.so*" || compgen -G "$$folder/libclang-[0-9]*.so*"; then return 0; fi
	  done >/dev/null
	  return 1
	}
	missing=()
	command -v cc >/dev/null && command -v c++ >/dev/null || missing+=(g++)
	command -v clang >/dev/null || missing+=(clang)
	libclang || missing+=(libclang-dev)
	wanted=("$${missing[@]}")
	command -v ccache >/dev/null || $(ROCKSDB_BUILT) || wanted+=(ccache)
	[ $${#wanted[@]} -gt 0 ] || exit 0
	# What stops the build, and the way out, in one place for all the ways of not being allowed to install.
	give_up() {
	  [ $${#missing[@]} -gt 0 ] || { echo "ccache is missing; a second build will take as long as the first."; exit 0; }
	  echo "make: missing: $${missing[*]} ($$1). On Debian and Ubuntu this installs them:" >&2
	  echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $${wanted[*]}" >&2
	  exit 1
	}
	[ "$(INSTALL)" != 0 ] || give_up "INSTALL=0 forbids installing"
	command -v apt-get >/dev/null || give_up "there is no apt-get here"
	as_root=()
	if [ "$$(id -u)" != 0 ]; then
	  sudo -n true 2>/dev/null || give_up "installing needs root or sudo without a password"
	  as_root=(sudo -n)
	fi
	as_root+=(env DEBIAN_FRONTEND=noninteractive)
	run() {
	  echo "+ $$*"
	  "$$@" </dev/null
	}
	install=("$${as_root[@]}" apt-get install -y --no-install-recommends "$${wanted[@]}")
	echo "Installing $${wanted[*]} (INSTALL=0 forbids this):"
	if ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then
	  run "$${as_root[@]}" apt-get update || give_up "apt-get update failed"
	fi
	if ! run "$${install[@]}"; then
	  run "$${as_root[@]}" apt-get update || give_up "apt-get update failed"
	  run "$${install[@]}" || give_up "apt-get install failed"
	fi

build: deps ## Build banyand and banyan
	@$(build_env)
	if ! $(ROCKSDB_BUILT); then
	  cores=$$(nproc)
	  echo "First build: about 450 crates, and RocksDB from source. RocksDB takes about $$(( 34 / cores + 1 )) minutes"
	  echo "on $$cores core(s), or a minute or two if ccache has it; the rest about $$(( 12 / cores + 1 )). Later builds take seconds."
	  # Cargo says nothing while a build script runs, and this one runs for most of the time.
	  (
	    since=$$SECONDS
	    while sleep 30; do
	      objects=$$(find "$(TARGET)"/debug/build/librocksdb-sys-*/out -name '*.o' 2>/dev/null | wc -l)
	      if [ "$$objects" -gt 0 ] && ! $(ROCKSDB_BUILT); then
	        echo "    RocksDB: $$objects of about 343 files compiled, $$(( (SECONDS - since) / 60 )) min since the start"
	      fi
	    done
	  ) &
	  progress=$$!
	  trap 'kill $$progress 2>/dev/null || true' EXIT
	fi
	cargo build --locked --workspace --bins

demo: build ## Seven nodes, 100,000 citizens, births, the loss of the central site, a report
	@"$(BIN)/banyan" demo --citizens $(CITIZENS) --births $(BIRTHS) --report target/demo/report.json --dir target/demo $(if $(KEEP),--keep)

bench: deps ## etcd, PostgreSQL and this cluster measured in turn; writes docs/performance.md. QUICK=1 only tries it
	@missing=()
	command -v etcd >/dev/null || missing+=(etcd-server)
	[ -x /usr/lib/postgresql/15/bin/postgres ] || missing+=(postgresql-15)
	if [ $${#missing[@]} -gt 0 ]; then
	  command="apt-get update && apt-get install -y --no-install-recommends $${missing[*]}"
	  give_up() {
	    echo "make: missing: $${missing[*]} ($$1). On Debian 12 this installs them:" >&2
	    echo "    sudo $${command/&& /&& sudo }" >&2
	    exit 1
	  }
	  [ "$(INSTALL)" != 0 ] || give_up "INSTALL=0 forbids installing"
	  command -v apt-get >/dev/null || give_up "there is no apt-get here"
	  as_root=()
	  if [ "$$(id -u)" != 0 ]; then
	    sudo -n true 2>/dev/null || give_up "installing needs root or sudo without a password"
	    as_root=(sudo -n)
	  fi
	  # Only the programs are wanted: no server of the system's own is set up or started.
	  as_root+=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1)
	  run() {
	    echo "+ $$*"
	    "$$@" </dev/null
	  }
	  echo "Installing $${missing[*]} (INSTALL=0 forbids this):"
	  run "$${as_root[@]}" apt-get update || give_up "apt-get update failed"
	  run "$${as_root[@]}" apt-get install -y --no-install-recommends "$${missing[@]}" || give_up "apt-get install failed"
	fi
	$(build_env)
	# The other systems come as their makers ship them, and so does this one: a profile of its own, RocksDB out of ccache.
	echo "Building what would be shipped, in $(SHIPPED): about 8 minutes on two cores the first time, and RocksDB if ccache is not there."
	cargo build --locked --release --workspace --bins
	"$(SHIPPED)/banyan-bench" peers --out target/bench $(if $(QUICK),--quick)
	if [ -n "$(QUICK)" ]; then
	  "$(SHIPPED)/banyan-bench" report --from target/bench/peers.json --to target/bench --draft
	  echo "bench: a smoke run; docs/performance.md is not touched."
	else
	  "$(SHIPPED)/banyan-bench" report --from target/bench/peers.json --to docs
	fi

clean-demo: ## Stop a demo cluster that KEEP=1 left, and delete its data
	@if [ -x "$(BIN)/banyan" ] && [ -d target/demo ]; then
	  "$(BIN)/banyan" cluster down --dir target/demo || true
	fi
	rm -rf target/demo target/demo-test

test: build ## All tests, and the demo at 5,000 citizens
	@$(build_env)
	if cargo nextest --version >/dev/null 2>&1; then
	  cargo nextest run --locked --workspace
	  cargo test --locked --workspace --doc --quiet
	else
	  cargo test --locked --workspace
	fi
	"$(BIN)/banyan" demo --citizens 5000 --births 200 --report target/demo-test/report.json --dir target/demo-test

sim: build ## 300 simulated nations with faults drawn from their seeds; writes target/proof/sim.json
	@"$(BIN)/banyan-sim" gate --seeds 300 --out target/proof/sim.json

# The ledger names the code and not the commit: a line in it must not change what it speaks of.
sim-long: deps ## As many as SEEDS says, from FROM on; adds a line to docs/proof/ledger.csv
	@code=$$(git ls-tree HEAD Cargo.toml Cargo.lock crates chaos-tests/src proto | git hash-object --stdin | cut -c1-12)
	if [ -n "$$(git status --porcelain -- Cargo.toml Cargo.lock crates chaos-tests/src proto)" ]; then code="$$code+changes"; fi
	$(build_env)
	cargo build --locked --workspace --profile simulation --bin banyan-sim
	mkdir -p docs/proof
	"$(TARGET)/simulation/banyan-sim" long --seeds $(SEEDS) --from $(FROM) --ledger docs/proof/ledger.csv --code "$$code"

# A build of its own beside the other one: seeded bugs are not in any program that is shipped, tested or demonstrated.
mutations: build ## Puts the seeded bugs in, one at a time, each to be caught within 50 seeds; writes target/proof/mutations.json
	@$(build_env)
	cargo build --locked --workspace --bin banyan-sim --features banyan-chaos-tests/seeded-bugs
	mkdir -p target/proof
	cp "$(BIN)/banyan-sim" target/proof/banyan-sim-with-bugs
	cargo build --locked --workspace --bins
	target/proof/banyan-sim-with-bugs bugs --seeds 50 --out target/proof/mutations.json

# Without them the run goes on behind proxies, and says so: nothing here gives up.
chaos-tools:
	@missing=()
	find_tool() { PATH="$$PATH:/usr/sbin:/sbin" command -v "$$1" >/dev/null; }
	find_tool ip && find_tool tc || missing+=(iproute2)
	find_tool nft || missing+=(nftables)
	[ $${#missing[@]} -gt 0 ] || exit 0
	go_on() {
	  echo "chaos: missing: $${missing[*]} ($$1), so that nodes get no network namespaces of their own. On Debian and Ubuntu this installs them:"
	  echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $${missing[*]}"
	  exit 0
	}
	# Namespaces need root, whatever is installed.
	[ "$$(id -u)" = 0 ] || go_on "and this is not root"
	[ "$(INSTALL)" != 0 ] || go_on "INSTALL=0 forbids installing"
	command -v apt-get >/dev/null || go_on "there is no apt-get here"
	install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$${missing[@]}")
	run() {
	  echo "+ $$*"
	  "$$@" </dev/null
	}
	echo "Installing $${missing[*]} (INSTALL=0 forbids this):"
	run "$${install[@]}" || { run apt-get update && run "$${install[@]}"; } || go_on "apt-get install failed"

chaos: build chaos-tools ## Seven real nodes, 10 minutes of faults under load; writes target/proof/chaos.json
chaos-long: build chaos-tools ## The same for as long as MINUTES says; writes target/proof/chaos-long.json
chaos chaos-long:
	@"$(BIN)/banyan-chaos" --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) --report target/proof/$@.json --dir target/chaos

endurance: build ## Seven nodes under a mixed load for two hours, or as MINUTES says: memory, disk and latency must not drift
	@"$(BIN)/banyan-bench" endurance --minutes $(if $(filter file,$(origin MINUTES)),120,$(MINUTES)) --out target/endurance --report target/proof/endurance.json

verify: deps ## The gate: format, clippy, tidy, tests, docs, topologies, simulation, seeded bugs, faults. Changes no tracked file
	@$(build_env)
	step() { printf '\n== %s (%d s)\n' "$$1" "$$SECONDS"; }
	before=$$(git status --porcelain)
	step "format"
	cargo fmt --all --check
	step "tidy"
	cargo run --locked --quiet -p banyan-xtask -- tidy
	step "build and clippy"
	$(AGAIN) build
	cargo clippy --locked --workspace --all-targets -- -D warnings
	step "topologies"
	for file in cluster/*.toml; do "$(BIN)/banyand" config check "$$file"; done
	step "documentation"
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
	step "tests and demo"
	$(AGAIN) test
	step "simulation"
	$(AGAIN) sim
	step "seeded bugs"
	$(AGAIN) mutations
	step "faults"
	$(AGAIN) chaos
	step "done"
	if [ "$$(git status --porcelain)" != "$$before" ]; then
	  echo "verify: the gate changed the work tree, which it must not:" >&2
	  git status --short >&2
	  exit 1
	fi
	mkdir -p target
	if [ -z "$$before" ]; then
	  git rev-parse 'HEAD^{tree}' > target/.verified
	  echo "verify: passed; target/.verified names the tree."
	else
	  echo "verify: passed, but the work tree has changes that are not committed, so target/.verified was not written."
	fi

fix: deps ## Rewrite what can be: format, clippy's suggestions, golden scripts
	@$(build_env)
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	UPDATE=1 cargo test --workspace -- scripts
	cargo fmt --all
	git status --short

audit: ## Licences, bans and sources of dependencies; advisories where their database can be fetched
	@if ! cargo deny --version >/dev/null 2>&1; then
	  if [ "$(INSTALL)" = 0 ]; then
	    echo "make: missing: cargo-deny. This installs it: cargo install --locked cargo-deny" >&2
	    exit 1
	  fi
	  echo "+ cargo install --locked cargo-deny"
	  cargo install --locked cargo-deny
	fi
	cargo deny --workspace check bans licenses sources
	if cargo deny --workspace fetch db >/dev/null 2>&1; then
	  cargo deny --workspace check advisories
	else
	  echo "audit: the advisory database could not be fetched, so advisories were left out."
	fi

env: ## Variables for calling cargo by hand: eval "$(make -s env)"
	@if command -v ccache >/dev/null; then echo 'export CC="ccache cc" CXX="ccache c++"'; fi
