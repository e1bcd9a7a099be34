"""The kinds of processor that a virtual robot may have: Debian's names, and what QEMU has to be told of each."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PLACE = Path("/proc/sys/fs/binfmt_misc")
_KNOWN = Path("/usr/lib/binfmt.d")


@dataclass(frozen=True, slots=True)
class Architecture:
    """One kind of processor. `name` is Debian's, `machine` is what `uname -m` says on it."""

    name: str
    machine: str
    arguments: tuple[str, ...]  # QEMU's: the board, and the processor
    console: str
    tpm: str  # the device through which the kernel finds the chip

    @property
    def program(self) -> str:
        """Return QEMU's name."""
        return f"qemu-system-{self.machine}"


ARCHITECTURES = {
    one.name: one
    for one in (
        Architecture("amd64", "x86_64", ("-M", "q35", "-cpu", "max"), "ttyS0", "tpm-tis"),
        # A Raspberry Pi 4's cores. The board is QEMU's own: it has PCI, and a TPM that the device tree names.
        Architecture("arm64", "aarch64", ("-M", "virt", "-cpu", "cortex-a72"), "ttyAMA0", "tpm-tis-device"),
    )
}


@contextlib.contextmanager
def programs_run(architecture: Architecture) -> Iterator[None]:
    """Have this machine's kernel run the architecture's programs (qemu-user-static, binfmt_misc) until the block ends.

    What is registered already stays. It needs root, and raises OSError where the kernel lets nobody register.
    """
    entry = f"qemu-{architecture.machine}"
    if platform.machine() == architecture.machine or (_PLACE / entry).exists():
        yield
        return
    known = _KNOWN / f"{entry}.conf"
    if not known.exists():
        raise FileNotFoundError(f"{known} missing: hil/setup {architecture.name} installs what the rig needs")
    if not (_PLACE / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_PLACE)], check=True)
    _write(_PLACE / "register", known.read_bytes().strip())
    try:
        yield
    finally:
        _write(_PLACE / entry, b"-1")


def _write(file: Path, line: bytes) -> None:
    """Write at once: the kernel takes a line of one write only."""
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
