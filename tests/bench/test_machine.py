"""What is said of processes is theirs, whatever else runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.machine import alone_kib, pss_kib

_IDLE = "import ssl, sqlite3, sys; print('ready', flush=True); sys.stdin.read()"


@contextmanager
def _idle_python() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", _IDLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_what_two_processes_would_take_alone_does_not_shrink_when_others_share_their_libraries() -> None:
    with ExitStack() as stack:
        pids = [stack.enter_context(_idle_python()) for _ in range(2)]
        alone, proportional = alone_kib(pids), sum(map(pss_kib, pids))
        for _ in range(4):
            stack.enter_context(_idle_python())
        assert sum(map(pss_kib, pids)) < proportional, "others take their part"
        assert abs(alone_kib(pids) - alone) < 0.02 * alone
        assert alone >= proportional
