# Each target does its own set-up: Debian packages, .venv, throwaway folders.
.PHONY: setup demo test lint format soak soak-token power fuzz clean

setup:
	@.ci/setup

demo: setup
	@.venv/bin/python -m hil.demo

test: setup lint
	@.venv/bin/python -m pytest

lint: setup
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --quiet --check .
	@.venv/bin/mypy --no-error-summary
	@.venv/bin/lint-imports --no-cache >/dev/null || .venv/bin/lint-imports --no-cache

format: setup
	@.venv/bin/ruff check --quiet --fix .
	@.venv/bin/ruff format .

# The main job under kills: KILLS=N (default 5000) SIGKILLs in parallel lanes, 0.4 s each on 2 cores; goes on from hil/out/soak.jsonl.
soak: setup
	@.venv/bin/python -m hil.soak --kills $(or $(KILLS),5000)

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

clean:
	rm -rf .venv .cache dist build demo-run
