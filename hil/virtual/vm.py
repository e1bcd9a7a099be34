"""One virtual robot: QEMU in software emulation, a TPM (swtpm), and a disk that loses what was not flushed when it is cut.

QEMU writes to the disk through nbdkit, whose cache stands for a drive's volatile one: a flush of the robot's empties it,
and `cut` kills both, so that un-flushed writes are really lost. What the kernel prints is in `console.log`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hil.parts.broker import free_port
from hil.rig import wait_for
from hil.virtual.image import Image

_TOOLS = ("qemu-img", "nbdkit", "swtpm", "swtpm_setup")
_CONTAINER_BYTES = 8 << 30  # the most that the disk's file may grow to; it is sparse
_NIC, _NETWORK = "nic0", "n0"
_MEMORY_MIB, _SWAP, _STORE = 768, "256M", "128M"
_BROKER_PORT = 1883
_DISK = "d0"
_FIRMWARE_READS_BYTES = 512
_HUNG_AFTER_SECONDS = 120
_TRIES = 4  # more hangs in a row are no accident: the image does not boot


class Vm:
    """A robot in a folder. `start` and `cut` are its power switch; its disk and its TPM stay."""

    def __init__(self, folder: Path, image: Image, *, memory_mib: int = _MEMORY_MIB, cores: int = 2) -> None:
        missing = [tool for tool in (image.architecture.program, *_TOOLS) if shutil.which(tool) is None]
        if missing:
            raise FileNotFoundError(f"{', '.join(missing)} missing: hil/setup installs what the rig needs")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder, self.image, self._memory_mib, self._cores = folder, image, memory_mib, cores
        self._qemu = image.architecture.program
        self.disk, self.console_file = folder / "disk.qcow2", folder / "console.log"
        self.swap, self._broken = folder / "swap.qcow2", folder / "writes-fail"
        self.store = folder / "store.qcow2"  # a disk that is not actod's: /dev/vdc, empty
        self.card = "card-1"  # the serial number that the kernel shows of the disk
        self.ssh_port, self.broker_port = free_port(), free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._monitor: Monitor | None = None
        self._listens, self._captures = False, 0
        self.hung, self.began, self._read_before = 0, 0.0, 0
        if not self.disk.exists():
            self._make_disk()
        if not (folder / "tpm").exists():
            self.new_tpm()

    def _make_disk(self) -> None:
        backing = ["-b", str(self.image.disk), "-F", "raw"]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(self.disk)], check=True)
        for disk, size in ((self.swap, _SWAP), (self.store, _STORE)):
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), size], check=True)
        os.truncate(self.disk, _CONTAINER_BYTES)  # behind nbdkit it is a device, which cannot grow

    def new_tpm(self) -> None:
        """Put another chip in its place: the one before is gone, with its keys."""
        state = self.folder / "tpm"
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(mode=0o700)
        command = ["swtpm_setup", "--tpm2", "--tpmstate", str(state), "--overwrite"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        """Switch it on, and return when its kernel reads the disk.

        Once in a hundred boots the emulated kernel spins in its timers for ever, in its first second. Nothing that is on the
        disk can be the cause: so it is switched on again, and `hung` counts it. `began` is when the power came.
        """
        self._boot(self._switch_on)

    def _boot(self, press: Callable[[], None]) -> None:
        """Press a button until the kernel reads the disk. Raises RuntimeError where it never does."""
        for _ in range(_TRIES):
            press()
            if self._reads_its_disk():
                return
            self.hung += 1
        raise RuntimeError(f"the kernel does not read its disk, see {self.console_file}")

    def _switch_on(self) -> None:
        self.cut()  # one that hung
        self.began, self._read_before = time.monotonic(), 0
        for name in ("nbd.sock", "tpm.sock", "qmp.sock"):
            (self.folder / name).unlink(missing_ok=True)
        broken = f"error-pwrite-file={self._broken}"  # while this file exists, no write reaches the card
        filters = ("--filter=error", "--filter=cache", "file", str(self.disk), "cache=writeback", "error-pwrite-rate=100%")
        self._run("nbdkit", "-f", "-U", self._at("nbd.sock"), *filters, broken)
        control = f"type=unixio,path={self._at('tpm.sock')}"
        self._run("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self._at('tpm')}", "--ctrl", control)
        for name in ("nbd.sock", "tpm.sock"):
            wait_for((self.folder / name).exists, what=name)
        self._run(self._qemu, *self._arguments())
        self._monitor = Monitor(self.folder / "qmp.sock", self._processes[self._qemu])

    def _reads_its_disk(self) -> bool:
        """Wait until the kernel has read the disk, or surely will not; the firmware looks at its first sector alone."""
        firmware = self._read_before + _FIRMWARE_READS_BYTES
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: self._bytes_read() > firmware, seconds=_HUNG_AFTER_SECONDS, what="a read of the kernel's")
            return True
        return False

    def _bytes_read(self) -> int:
        return int(next(one["stats"]["rd_bytes"] for one in self.command("query-blockstats") if one["device"] == _DISK))

    def _arguments(self) -> list[str]:
        architecture = self.image.architecture
        kernel = f"root=/dev/vda ro console={architecture.console} net.ifnames=0 panic=-1 mitigations=off quiet "
        kernel += "systemd.show_status=0"
        # The serial port is a file: a socket that nobody reads from would stop the robot.
        arguments = [*architecture.arguments, "-accel", "tcg,thread=multi", "-smp", str(self._cores)]
        arguments += ["-m", str(self._memory_mib)]
        arguments += ["-display", "none", "-nodefaults", "-chardev", f"file,id=con,path={self.console_file},append=on"]
        arguments += ["-serial", "chardev:con", "-qmp", f"unix:{self._at('qmp.sock')},server=on,wait=off"]
        arguments += ["-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd), "-append", kernel]
        nbd = f"file.driver=nbd,file.server.type=unix,file.server.path={self._at('nbd.sock')}"
        arguments += ["-drive", f"if=none,id={_DISK},driver=qcow2,discard=ignore,{nbd}"]
        arguments += ["-device", f"virtio-blk-pci,drive={_DISK},serial={self.card}"]
        for name, disk in (("d1", self.swap), ("d2", self.store)):
            arguments += ["-drive", f"if=none,id={name},driver=qcow2,file.driver=file,file.filename={disk}"]
            arguments += ["-device", f"virtio-blk-pci,drive={name}"]
        ports = ((self.ssh_port, 22), (self.broker_port, _BROKER_PORT))
        forwarded = ",".join(f"hostfwd=tcp:127.0.0.1:{here}-:{there}" for here, there in ports)
        arguments += ["-netdev", f"user,id={_NETWORK},{forwarded}"]
        arguments += ["-device", f"virtio-net-pci,netdev={_NETWORK},id={_NIC},romfile=", "-device", "virtio-rng-pci"]
        arguments += ["-chardev", f"socket,id=tpm,path={self._at('tpm.sock')}"]
        arguments += ["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", f"{architecture.tpm},tpmdev=tpm0"]
        if self._listens:
            file = self._next_capture()
            arguments += ["-object", f"filter-dump,id={_ear(self._captures)},netdev={_NETWORK},file={file}"]
        return arguments

    def _at(self, name: str) -> str:
        return str(self.folder / name)

    def _run(self, *command: str) -> None:
        """Start a program that does not outlive the rig, however that ends: nobody else would switch the robot off."""
        bound = ("setpriv", "--pdeathsig", "KILL", "--", *command)
        with (self.folder / "vm.log").open("ab") as log:
            process = subprocess.Popen(bound, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._processes[command[0]] = process

    def running(self) -> bool:
        """Whether it is switched on."""
        process = self._processes.get(self._qemu)
        return process is not None and process.poll() is None

    def cut(self) -> None:
        """Take its power: no flush, no orderly end, and the TPM sees an unclean stop."""
        for process in self._processes.values():
            process.kill()
        self._reap()

    def wait_off(self, *, seconds: float = 300) -> None:
        """Wait until it has switched itself off; what was written is on disk."""
        process = self._processes[self._qemu]
        process.wait(seconds)
        for name, other in self._processes.items():
            if name != self._qemu and other.poll() is None:
                other.terminate()
        self._reap()

    def _reap(self) -> None:
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        for process in self._processes.values():
            process.wait(20)
        self._processes.clear()

    def signal(self, program: str, number: signal.Signals) -> None:
        """Signal one of its programs: a stopped `swtpm` is a chip that does not answer, a stopped `nbdkit` a card."""
        self._processes[program].send_signal(number)

    def command(self, name: str, /, **arguments: Any) -> Any:
        """Tell QEMU something (QMP), and return what it answers."""
        assert self._monitor is not None
        return self._monitor.command(name, arguments)

    def break_writes(self, *, broken: bool) -> None:
        """Let each write to the disk fail, or none."""
        if broken:
            self._broken.touch()
        else:
            self._broken.unlink(missing_ok=True)

    def reset(self) -> None:
        """Press its reset button: the disk keeps its cache. Returns when the kernel reads the disk again; see `start`."""
        self._boot(self._press_reset)

    def _press_reset(self) -> None:
        self._read_before = self._bytes_read()
        self.command("system_reset")

    def link(self, *, up: bool) -> None:
        """Plug its network in or out."""
        self.command("set_link", name=_NIC, up=up)

    def listen(self) -> None:
        """Write down what crosses its network card from now on, over every boot; `heard` has to be asked for it."""
        self._listens = True
        if self.running():
            self._put_ear()

    def heard(self) -> list[Path]:
        """Return the captures (pcap) so far; whoever asks removes them. Listening goes on, and misses no packet."""
        last = self._captures
        if self._listens and self.running():
            self._put_ear()
            self.command("object-del", id=_ear(last))
        return [file for number in range(1, last + 1) if (file := self._capture(number)).exists()]

    def listen_no_more(self) -> None:
        """Write nothing down any more; what was not asked for yet stays."""
        if self._listens and self.running():
            self.command("object-del", id=_ear(self._captures))
        self._listens = False

    def _put_ear(self) -> None:
        file = self._next_capture()
        ear = {"qom-type": "filter-dump", "id": _ear(self._captures), "netdev": _NETWORK, "file": file}
        self.command("object-add", **ear)

    def _next_capture(self) -> str:
        self._captures += 1
        return str(self._capture(self._captures))

    def _capture(self, number: int) -> Path:
        return self.folder / f"capture-{number}.pcap"

    def keep(self, folder: Path) -> None:
        """Copy disk and TPM, so that other robots can begin like this one; it must be switched off."""
        new = folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        _copy(self.disk, new / self.disk.name)
        shutil.copytree(self.folder / "tpm", new / "tpm")
        new.rename(folder)

    def begin_as(self, folder: Path) -> None:
        """Take disk and TPM of what was kept; it must be switched off."""
        self.put_back(folder / self.disk.name)
        shutil.rmtree(self.folder / "tpm")
        shutil.copytree(folder / "tpm", self.folder / "tpm")

    def take_image(self, file: Path) -> None:
        """Copy the disk as it is, and nothing of the chip; it must be switched off."""
        _copy(self.disk, file)

    def put_back(self, file: Path) -> None:
        """Have the disk hold again what it held when the image was taken; it must be switched off."""
        _copy(file, self.disk)

    def raw_disks(self, folder: Path) -> list[Path]:
        """Copy disk, swap and the disk that is not actod's, byte by byte as the robot sees them; it must be switched off."""
        copies = []
        for source in (self.disk, self.swap, self.store):
            copy = folder / f"{source.stem}.raw"
            subprocess.run(["qemu-img", "convert", "-O", "raw", str(source), str(copy)], check=True)
            copies.append(copy)
        return copies


def _ear(number: int) -> str:
    return f"ear{number}"


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", str(source), str(target)], check=True)


class Monitor:
    """QEMU's monitor: one command, one answer; events in between are passed over."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(120)
        deadline = time.monotonic() + 30
        while True:
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"QEMU did not start, see {path.parent / 'vm.log'}") from None
                time.sleep(0.05)
        self._lines = self._socket.makefile("rb")
        self._lines.readline()
        self.command("qmp_capabilities", {})

    def command(self, name: str, arguments: dict[str, Any]) -> Any:
        """Send a command and return its answer; raises RuntimeError if it is refused."""
        self._socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while line := self._lines.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise RuntimeError(f"{name}: QEMU is gone")

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._lines.close()
            self._socket.close()
