# Each target does its own set-up: Debian packages, .venv, throwaway folders.
.PHONY: bench bench-peers gate setup demo test lint hooks lock format soak soak-token power fuzz fleet drain wheel deb hil-fast hil hil-short hil-planted hil-long hil-arm64 clean
HIL_PACKAGES = deploy/debian/build $(or $(PACKAGE),bookworm-amd64) && VERSION=0.1.1 deploy/debian/build $(or $(PACKAGE),bookworm-amd64)

setup:
	@.ci/setup

demo: setup
	@.venv/bin/python -m hil.demo

test: setup lint
	@.venv/bin/python -m pytest -n 2 --dist loadfile

lint: setup
	@.ci/lint

format: setup
	@.venv/bin/ruff check --quiet --fix .
	@.venv/bin/ruff format .

# The main job under kills: KILLS=N (default 5000) SIGKILLs in parallel lanes; goes on from hil/out/soak.jsonl. Then the memory
# under a BACKLOG=N (default 100000) at the broker, a message of 60 MB and a flood.
soak: setup
	@.venv/bin/python -m hil.soak --kills $(or $(KILLS),5000)
	@.venv/bin/python -m hil.memory --backlog $(or $(BACKLOG),100000) --flood-seconds $(or $(FLOOD_SECONDS),10)

# Each CKR_* and each kind of end at each call; then the main job while its TPM is killed KILLS=N (20) times, away for MINUTES=N (5), ...
soak-token: setup
	@CKR_STEP=1 .venv/bin/python -m pytest -q -o timeout=1500 tests/keys/test_faults.py
	@.venv/bin/python -m hil.soak_token --kills $(or $(KILLS),20) --minutes $(or $(MINUTES),5)

# Power cuts at every system call of a store's life, in ORDERS=N (default 20) orders of what was not synced; 7 minutes.
power: setup
	@.venv/bin/python -m tests.power --orders $(or $(ORDERS),20)

# Hostile input, guided by coverage (x86 only): SECONDS=N (default 600), TARGET=message|twice|transport|verify|audit|wire.
fuzz: setup
	@.venv/bin/python -c 'import atheris' 2>/dev/null || .venv/bin/pip install -q --disable-pip-version-check atheris
	@.venv/bin/python -m tests.fuzz $(or $(TARGET),message) --seconds $(or $(SECONDS),600)

# A fleet back from an outage against one server bucket, in simulated time: ROBOTS=N (default 1000), BUNDLES=N (default 10).
fleet: setup
	@.venv/bin/python -m hil.fleet --robots $(or $(ROBOTS),1000) --bundles $(or $(BUNDLES),10)

# A backlog with poison against the server's real behaviour, its rate scaled by 50: BUNDLES=N (default 5000); a minute.
drain: setup
	@.venv/bin/python -m hil.drain --bundles $(or $(BUNDLES),5000)

# All figures against their floors, in a quarter of an hour: table, JSON and pictures in bench/out. PARTS="line mask ..." (all).
bench: setup
	@.venv/bin/python -m bench $(PARTS)

# Other programs on the same work, each installed below bench/.cache: PEERS="straight node-red ..." (all); a quarter of an hour.
bench-peers: setup
	@.venv/bin/python -m bench.peers $(PEERS)

# Instructions of a fixed workload against the recorded ones; RECORD=1 (on the command line) records, in a commit that says why.
gate: setup
	@.venv/bin/python -m bench.gate $(if $(filter command,$(origin RECORD)),--record)

# Wheel and sdist, the same bytes from the same sources, and beside them the SBOM (CycloneDX) of what is bundled.
wheel: setup
	@export SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}; \
	  .venv/bin/python -m hatchling build -d dist && for wheel in dist/actod-*.whl; do \
	  .venv/bin/python deploy/sbom.py $$wheel >$${wheel%-py3-none-any.whl}.cdx.json || exit 1; done

# The locks that `setup` installs from, made anew: read the difference before it is committed.
lock: setup
	@.ci/lock

# From now on git runs lint and a search for secrets before each commit, as CI does.
hooks: setup
	@git config core.hooksPath .ci/hooks

# A Debian package for each release and architecture (needs debhelper): TARGETS="bookworm-amd64 ..." (default all four).
deb: setup
	@deploy/debian/build $(TARGETS)

# The package under its units on machines with a real systemd, in containers (root, systemd-container, mmdebstrap); 3 minutes each.
# RELEASES="bookworm trixie" (default both).
hil-fast: setup
	@for release in $(or $(RELEASES),bookworm trixie); do \
	  deploy/debian/build $$release-amd64 && VERSION=0.1.1 deploy/debian/build $$release-amd64 && \
	  .venv/bin/python -m hil.installed --release $$release || exit 1; done

# The installed package on a robot, through its acceptance and through the faults of hil/faults; the report lies in hil/out.
# TARGET=hil/virtual.yaml (default: QEMU; root) or a board's, PACKAGE=bookworm-amd64, SEED=1, RATE=10, SCENARIOS="power_cut,tpm_away" (default all).
hil: setup
	@hil/setup
	@$(HIL_PACKAGES)
	@.venv/bin/python -m pytest -c hil/pytest.ini --lg-env $(or $(TARGET),hil/virtual.yaml) --seed $(or $(SEED),1) \
	  --rate $(or $(RATE),10) --scenarios "$(SCENARIOS)" $(or $(HIL),hil/campaign)

# The short form, which CI runs: the installed package, six faults, and the account; 10 minutes.
hil-short:
	@$(MAKE) --no-print-directory hil SCENARIOS="power_cut,collector_down,pin_mismatch,tpm_locked,daemon_killed,api_key_rotated" \
	  HIL="hil/campaign/test_2_faults.py hil/campaign/test_3_account.py"

# Faults planted in actod itself (no fsync, PUBACK before commit, ...), each of which a scenario has to catch; hil/results/planted.json keeps what
# came of it. RATE=4, SCENARIOS=a,b (default all).
hil-planted: setup
	@hil/setup
	@$(HIL_PACKAGES)
	@.venv/bin/python -m hil.planted --target $(or $(TARGET),hil/virtual.yaml) --rate $(or $(RATE),4) --scenarios "$(SCENARIOS)"

# Power cuts at random moments under traffic: CUTS=N (default 100) more, on to those in hil/results/power-cuts.jsonl.
hil-long: setup
	@hil/setup
	@$(HIL_PACKAGES)
	@.venv/bin/python -m hil.powercuts --target $(or $(TARGET),hil/virtual.yaml) --cuts $(or $(CUTS),100)

# The arm64 package on an emulated arm64 Debian with a TPM: installed, collecting, signing. MESSAGES=N (default 500).
hil-arm64: setup
	@hil/setup arm64
	@deploy/debian/build bookworm-arm64
	@.venv/bin/python -m hil.smoke --target hil/virtual-arm64.yaml --messages $(or $(MESSAGES),500)

clean:
	rm -rf .venv .cache dist build demo-run bench/.cache
