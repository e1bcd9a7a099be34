"""Key bytes in memory are locked and overwritten where they are."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

from actod.keys import memory
from hil.rig import ROOT


def test_what_is_wiped_is_zero_and_its_neighbours_are_not_touched() -> None:
    for length in (32, 64, 4096):
        before, secret, after = (os.urandom(length) for _ in range(3))
        copies = bytes(bytearray(before)), bytes(bytearray(after))
        memory.wipe(secret)
        assert secret == bytes(length)
        assert (before, after) == copies


PROGRAM = """
    import os, re
    from pathlib import Path
    from actod.keys import memory
    secret = os.urandom(64)
    assert memory.lock(secret)
    locked = lambda: int(re.search(r"VmLck:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
    print(locked())
    memory.unlock(secret)
    assert locked() == 0
"""


def test_the_pages_of_a_key_are_locked_and_nothing_more() -> None:
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    limited = ["prlimit", "--memlock=65536:65536", *program]
    done = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) in {4, 8, 16, 64}
