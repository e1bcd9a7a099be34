"""Run a target: `python -m tests.fuzz message --seconds 600`, or over files: `python -m tests.fuzz message FILE...`.

Needs atheris (x86-64, for development only): `python -m pip install atheris`. Begins with tests/fuzz/corpus/<target>, and
keeps what it learns in .cache/fuzz/<target>. A defect does not end the run: one input for each goes to
.cache/fuzz/<target>-found, from where it belongs into tests/fuzz/crashes/<target> together with its mending.
"""

# ruff: noqa: T201 - a command prints
from __future__ import annotations

import argparse
import hashlib
import io
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache/fuzz"
NAMES = ("message", "twice", "transport", "verify", "audit", "wire")
_LONGEST_INPUT = 6144
_LEAST_PARTS = 2
_MISSING = "atheris is not installed: `python -m pip install atheris` (x86-64, for development only)"


class Campaign:
    """Counts what is run, and keeps one input for each defect."""

    def __init__(self, name: str, target: Callable[[bytes], None], seconds: float) -> None:
        self._target, self._end = target, time.monotonic() + seconds
        self.corpus = CACHE / name
        self._found = CACHE / f"{name}-found"
        self._defects: dict[str, int] = {}
        self._executions = 0
        self._slowest_seconds, self._slowest = 0.0, b""

    def attempt(self, data: bytes) -> None:
        """Run one input. What it raises is noted, and the run goes on until its time is over."""
        if time.monotonic() > self._end:
            self._report()
            sys.stdout.flush()
            os._exit(int(bool(self._defects)))  # libFuzzer leaves without a word to Python
        self._executions += 1
        try:
            spent = self._seconds(data)
            if spent > self._slowest_seconds:
                spent = min(spent, self._seconds(data))  # the first time something may have been loaded
                self._slowest_seconds, self._slowest = max((spent, data), (self._slowest_seconds, self._slowest))
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is a defect
            self._note(data, exc)

    def _seconds(self, data: bytes) -> float:
        start = time.thread_time()
        self._target(data)
        return time.thread_time() - start

    def _note(self, data: bytes, exc: Exception) -> None:
        frames = traceback.extract_tb(exc.__traceback__)
        at = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[: -_LEAST_PARTS - 1 : -1])
        words = "".join(char for char in str(exc)[:48] if not char.isdigit())
        name = f"{type(exc).__name__} at {at}: {words}"
        if name not in self._defects:
            self._found.mkdir(parents=True, exist_ok=True)
            file = self._found / hashlib.sha256(name.encode()).hexdigest()[:12]
            file.write_bytes(data)
            print(f"DEFECT {name}\n       {file}", flush=True)
        self._defects[name] = self._defects.get(name, 0) + 1

    def _report(self) -> None:
        """Say what was done."""
        files = sum(1 for _ in self.corpus.iterdir())
        cpu_seconds = time.process_time()
        print(f"{self._executions} executions in {cpu_seconds:.0f} s of CPU, {files} inputs in {self.corpus}")
        if self._slowest:
            file = CACHE / f"{self.corpus.name}-slowest"
            file.write_bytes(self._slowest)
            print(f"slowest unit: {self._slowest_seconds * 1000:.1f} ms of CPU, {len(self._slowest)} bytes, {file}")
        for name, count in sorted(self._defects.items()):
            print(f"{count:8} {name}")


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz one target.")
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("files", nargs="*", type=Path, help="run these inputs once, and nothing else")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="move the fewest inputs that reach every line to the corpus")
    options = parser.parse_args()
    if options.keep:
        from tests.fuzz.minimise import keep_fewest  # noqa: PLC0415 - it loads actod, which atheris must see first

        return keep_fewest(options.target, [CACHE / options.target, HERE / "corpus" / options.target])
    if options.files:
        return _run_files(options.target, options.files)
    if find_spec("atheris") is None:
        print(_MISSING, file=sys.stderr)
        return 2
    return _fuzz(options.target, options.seconds)


def _run_files(name: str, files: list[Path]) -> int:
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - as above

    for file in files:
        TARGETS[name](file.read_bytes())
        print(f"{file}: nothing found")
    return 0


def _fuzz(name: str, seconds: int) -> int:
    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]  # noqa: PLC0415 - not everywhere

    with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["actod"]):  # a line for each module
        from tests.fuzz.mutate import mutator  # noqa: PLC0415 - instrumented while they are loaded
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415

    campaign = Campaign(name, TARGETS[name], seconds)
    folders = [campaign.corpus, HERE / "corpus" / name]  # what is learnt goes to the first
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    arguments = [f"-max_len={_LONGEST_INPUT}", "-timeout=120", "-verbosity=1"]
    atheris.Setup(
        [sys.argv[0], *arguments, *map(str, folders)],
        campaign.attempt,
        custom_mutator=mutator(name, lambda data, most: bytes(atheris.Mutate(data, most))),
    )
    atheris.Fuzz()  # does not return
    return 1


if __name__ == "__main__":
    sys.exit(main())
