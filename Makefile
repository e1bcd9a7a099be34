# Each target does its own set-up: Debian packages, .venv, throwaway folders.
.PHONY: setup demo test lint format soak clean

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

# The main job under kills: KILLS=N (default 10) SIGKILLs over MESSAGES=N (default 20000) messages.
soak: setup
	@.venv/bin/python -m hil.soak --kills $(or $(KILLS),10) --messages $(or $(MESSAGES),20000)

clean:
	rm -rf .venv .cache dist build demo-run
