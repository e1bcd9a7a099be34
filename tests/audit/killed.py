"""One act, killed before each of its calls that change the disk: python -m tests.audit.killed FOLDER remove|pack.

Prints the states: each is a copy of FOLDER in which a process removed a file, or compressed the ended ones, and killed
itself before its nth such call.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.audit.robot import Robot

_CALLS = ("open", "write", "fdatasync", "fsync", "unlink", "rename", "ftruncate")


def main(folder: Path, act: str) -> None:
    """Go on until a process was not killed any more."""
    for step in range(1, 500):
        state = folder.with_name(f"{folder.name}-{step}")
        shutil.copytree(folder, state)
        if child := os.fork():
            _pid, status = os.waitpid(child, 0)
            sys.stdout.write(f"{state}\n")
            sys.stdout.flush()
            if not os.WIFSIGNALED(status):
                sys.exit(os.waitstatus_to_exitcode(status))
        else:
            _act(state, act, step)
            os._exit(0)


def _act(state: Path, act: str, step: int) -> None:
    robot = Robot(state, max_bytes=12_000)
    robot.work(1)
    left = step

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return call

    for name in _CALLS:
        setattr(os, name, counted(getattr(os, name)))
    if act == "pack":
        robot.retention.pack()
    else:
        robot.remove_what_is_due(most=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
