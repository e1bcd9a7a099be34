"""The gate against slow-downs: instructions of a fixed workload, counted by callgrind, against a recorded baseline.

    python -m bench.gate            compare; exits with 1 if a stage takes more than it may
    python -m bench.gate --record   make what is counted now the baseline, on purpose, in a commit that says why

Time is not asked: two counts of the same code differ by less than 0.1 %, on a busy machine, too. What is compared is each
stage's count against the floor's in the same run (paho's own loop over the same messages), so that another version of
Python or paho moves both. A baseline belongs to a build of Python; on one that has none, the nearest is taken, and more let
pass. Seals are of 200 messages, so their share is larger here than on a robot.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from pathlib import Path

from bench.replay import MESSAGES
from hil.rig import ROOT

BASELINE = ROOT / "bench" / "baseline.json"
MOST_PERCENT = 3.0  # between two counts of the same build: less is a change of the code
MOST_ELSEWHERE_PERCENT = 25.0  # two builds of Python differed by 16 where C is weighed against bytecode
FLOOR = "floor"
_GUARDED = ("collect", "mask", "journal", "seal", "settle")
_TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)
_LONGEST_SECONDS = 300.0

Counts = dict[str, float]  # instructions a message by stage


def build() -> str:
    """Name the build of Python that runs."""
    kind = "shared" if sysconfig.get_config_var("Py_ENABLE_SHARED") else "static"
    compiler = platform.python_compiler().replace(" ", "-")
    return f"{sys.implementation.name}-{platform.python_version()}-{platform.machine()}-{compiler}-{kind}"


def count() -> Counts:
    """Count the instructions of `bench.replay` by stage."""
    for tool in ("valgrind", "callgrind_control"):
        if shutil.which(tool) is None:
            raise FileNotFoundError(f"{tool} is missing: apt-get install valgrind")
    with tempfile.TemporaryDirectory(prefix="actod-gate-") as folder:
        stages = _run(Path(folder))
        totals: Counter[str] = Counter()
        for number, stage in enumerate(stages, 1):
            found = _TOTAL.search((Path(folder) / f"out.{number}").read_text(encoding="ascii", errors="replace"))
            assert found is not None, "callgrind wrote no total"
            totals[stage] += int(found[1])
    return {stage: totals[stage] / MESSAGES for stage in (FLOOR, "json", *_GUARDED)}


def _run(folder: Path) -> list[str]:
    """Let it warm up uncounted, then count; return the stages in the order of their marks."""
    callgrind = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--dump-before=getloadavg"]
    command = [*callgrind, f"--callgrind-out-file={folder}/out", sys.executable, "-m", "bench.replay", "counted"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the workload did not start")
            subprocess.run(["callgrind_control", "-i", "on", str(process.pid)], check=True, capture_output=True, timeout=60)
            said, _ = process.communicate("go\n", timeout=_LONGEST_SECONDS)
        finally:
            process.kill()
    if process.returncode:
        raise RuntimeError("the workload failed")
    return said.strip().split(",")


def judged(counts: Counts, baselines: dict[str, Counts], *, name: str) -> tuple[list[str], bool]:
    """Return what is compared, a line for each stage, and whether all hold. Raises LookupError if there is no baseline."""
    if not baselines:
        raise LookupError("no baseline is recorded: make gate RECORD=1")
    known = name in baselines
    nearest = name if known else max(baselines, key=lambda other: _alike(name, other))
    baseline, most = baselines[nearest], MOST_PERCENT if known else MOST_ELSEWHERE_PERCENT
    lines, holds = [f"gate: {name}"], True
    if not known:
        lines.append(
            f"This build of Python has no baseline, and is held to that of {nearest}, loosely: +{most:g} % pass. "
            f"`make gate RECORD=1` on code that is known to be good, committed, makes it +{MOST_PERCENT:g} %."
        )
    for stage in _GUARDED:
        now, then = counts[stage] / counts[FLOOR], baseline[stage] / baseline[FLOOR]
        percent = (now / then - 1) * 100
        slower = percent > most
        holds = holds and not slower
        word = "SLOWER" if slower else "less: record it" if percent < -most else "holds"
        lines.append(
            f"{stage:<8} {counts[stage]:9,.0f} instructions a message, {now:.3f} of the floor "
            f"(recorded {then:.3f}, {percent:+.1f} %, may be +{most:g} %)  {word}"
        )
    return lines, holds


def _alike(one: str, other: str) -> int:
    """Count the characters that two names begin with alike: version before machine, machine before compiler."""
    return next((index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(other))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    baselines: dict[str, Counts] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    try:
        counts, name = count(), build()
    except FileNotFoundError as exc:
        parser.exit(2, f"gate: {exc}\n")
    if options.record:
        baselines[name] = {stage: round(number) for stage, number in counts.items()}
        BASELINE.write_text(json.dumps(dict(sorted(baselines.items())), indent=1) + "\n")
        print(f"recorded for {name}")
    lines, holds = judged(counts, baselines, name=name)
    print(*lines, sep="\n")
    if not holds:
        print(
            "A stage takes more instructions than recorded. If that is meant: make gate RECORD=1, and say why in the commit."
        )
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
