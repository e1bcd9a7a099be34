"""A throwaway TPM 2.0 (swtpm) with a PKCS#11 token: P-256 only, locks itself, and may be killed, stopped and locked.

On a robot the kernel's resource manager (/dev/tpmrm0) stands between the library and the chip, and unloads what a program
had loaded when it ends. swtpm forgets nothing: one kill would fill its three slots. So a gate of ours stands before it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hil.parts.softhsm import KEY, LABEL, SoftToken

MODULES = (
    Path("/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so"),
    Path("/usr/lib/aarch64-linux-gnu/pkcs11/libtpm2_pkcs11.so"),
)
MAX_FAILURES, RECOVERY_SECONDS = 31, 600
_TOOLS = ("swtpm", "pkcs11-tool", "tpm2_dictionarylockout", "tpm2_getcap", "tpm2-abrmd", "dbus-daemon")
_PACKAGES = "swtpm tpm2-tools libtpm2-pkcs11-1 opensc tpm2-abrmd libtss2-tcti-tabrmd0 dbus"
_ROOT = Path(__file__).resolve().parents[2]
_FLUSH, _CAPABILITY, _HANDLES, _LOADED = 0x165, 0x17A, 1, (0x80000000, 0x02000000, 0x03000000)
_HEADER = struct.Struct(">HII")
_COMMAND = ("swtpm", "socket", "--tpm2", "--flags", "not-need-init,startup-clear")
_WRONG = "wrong-pin-4711"


def module() -> Path:
    """Return the path of tpm2-pkcs11's module. Raises FileNotFoundError where something is not installed."""
    for path in MODULES:
        if path.exists() and all(shutil.which(tool) for tool in _TOOLS):
            return path
    raise FileNotFoundError(f"a TPM in software is missing: apt-get install {_PACKAGES}")


class Swtpm:
    """The TPM's process. What is down refuses connections; what is paused takes them, and does not answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "state").mkdir(mode=0o700, parents=True)
        self.port = _two_free_ports()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when it listens."""
        server, control = (f"type=tcp,port={port},bindaddr=127.0.0.1" for port in (self.port, self.port + 1))
        with (self.folder / "swtpm.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_COMMAND, "--server", server, "--ctrl", control, "--tpmstate", f"dir={self.folder / 'state'}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 10
        while not _listens(self.port):
            assert self.process.poll() is None, (self.folder / "swtpm.log").read_text()
            assert time.monotonic() < deadline, "swtpm does not listen"
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL: an unclean stop, which the TPM counts as one failed PIN."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def pause(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


class Gate:
    """Passes on what programs say to an swtpm, and unloads what the one before left whenever a program begins.

    The library opens a connection for each command, and one to the control port when it is initialised.
    """

    def __init__(self, tpm: Swtpm) -> None:
        self._tpm = tpm
        self.port = _two_free_ports()
        self.tcti = f"swtpm:host=127.0.0.1,port={self.port}"
        self.environment: dict[str, str] = {}
        self._beginning = threading.Lock()
        self._listeners = [_listener(self.port), _listener(self.port + 1)]
        for offset, listener in enumerate(self._listeners):
            threading.Thread(target=self._accept, args=(listener, offset), daemon=True).start()

    @contextlib.contextmanager
    def alone(self) -> Iterator[dict[str, str]]:
        """Let no program begin meanwhile; what is yielded is the environment of one that goes past this gate."""
        with self._beginning:
            yield {"TPM2TOOLS_TCTI": f"swtpm:host=127.0.0.1,port={self._tpm.port}"}

    def close(self) -> None:
        """Let nobody in any more."""
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket, offset: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client, offset), daemon=True).start()

    def _serve(self, client: socket.socket, offset: int) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            if offset:
                with self._beginning:
                    self._unload()
            with socket.create_connection(("127.0.0.1", self._tpm.port + offset)) as upstream:
                threading.Thread(target=_pump, args=(upstream, client), daemon=True).start()
                _pump(client, upstream)

    def _unload(self) -> None:
        for kind in _LOADED:
            answer = self._ask(_HEADER.pack(0x8001, 22, _CAPABILITY) + struct.pack(">III", _HANDLES, kind, 64))
            (count,) = struct.unpack_from(">I", answer, 15)
            for handle in struct.unpack_from(f">{count}I", answer, 19):
                self._ask(_HEADER.pack(0x8001, 14, _FLUSH) + struct.pack(">I", handle))

    def _ask(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self._tpm.port)) as upstream:
            upstream.sendall(command)
            return _message(upstream)


class ResourceManager:
    """The resource manager that runs as a program (tpm2-abrmd), on a D-Bus of its own; may be ended and started again."""

    def __init__(self, tpm: Swtpm) -> None:
        self._tpm, self._log = tpm, tpm.folder / "abrmd.log"
        address = f"unix:path={tpm.folder / 'bus'}"
        self.tcti = "tabrmd:bus_type=session"
        self.environment = {"DBUS_SESSION_BUS_ADDRESS": address}
        self._bus = self._run("dbus-daemon", "--session", "--nofork", f"--address={address}")
        self._process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def alone(self) -> Iterator[dict[str, str]]:
        """Yield the environment of one program more: it keeps them apart."""
        yield {}

    def start(self) -> None:
        """Start, and return when the TPM answers through it."""
        deadline = time.monotonic() + 10
        while not (self._tpm.folder / "bus").exists():
            assert time.monotonic() < deadline, "no D-Bus"
            time.sleep(0.01)
        tcti = f"--tcti=swtpm:host=127.0.0.1,port={self._tpm.port}"
        self._process = self._run("tpm2-abrmd", "--session", "--allow-root", tcti)
        asking = os.environ | self.environment | {"TPM2TOOLS_TCTI": self.tcti}
        while subprocess.run(["tpm2_getcap", "properties-fixed"], env=asking, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL: whoever spoke to the TPM through it has lost what was loaded, and must begin anew."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def close(self) -> None:
        """End it, and its D-Bus."""
        self.kill()
        self._bus.kill()
        self._bus.wait(10)

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command, env=os.environ | self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )


@dataclass(frozen=True)
class TpmToken(SoftToken):
    """A token on a TPM, the TPM, and what stands before it."""

    tpm: Swtpm
    gate: Gate | ResourceManager

    def close(self) -> None:
        """End TPM and gate."""
        self.gate.close()
        self.tpm.kill()

    def tool(self, *command: str) -> str:
        """Run one of the TPM's own tools; return what it prints. Raises RuntimeError with what it says if it fails.

        No other program begins meanwhile: it would take the tool's session from it, and the TPM count a failure.
        """
        with self.gate.alone() as environment:
            return _run(command, os.environ | self.environment | environment)

    def lock(self, *, seconds: int) -> None:
        """Lock the TPM, as wrong PINs do, for at most this long."""
        self._protect(self._fail(seconds), seconds)

    def relent(self, *, seconds: int) -> None:
        """Let a TPM that is locked forgive one failure every so many seconds: it stays locked until then."""
        self._protect(self._failures(), seconds)

    def fail(self) -> None:
        """Have the TPM be half way to a lockout: a wrong PIN, and a limit of twice the failures that count."""
        self._protect(2 * self._fail(RECOVERY_SECONDS), RECOVERY_SECONDS)

    def _fail(self, seconds: int) -> int:
        """Try a wrong PIN; return how many failures count."""
        self._protect(MAX_FAILURES, seconds)
        pkcs11 = ("pkcs11-tool", "--module", str(module()), "--token-label", LABEL)
        wrong = (*pkcs11, "--login", "--pin", _WRONG, "--list-objects")
        subprocess.run(wrong, env=os.environ | self.environment, check=False, capture_output=True, timeout=30)
        return self._failures()

    def _failures(self) -> int:
        said = re.search(r"LOCKOUT_COUNTER: (\S+)", self.tool("tpm2_getcap", "properties-variable"))
        assert said is not None
        return int(said[1], 0)

    def unlock(self) -> None:
        """Forgive all failures, as an operator can who holds the lockout's secret, and set the usual limits."""
        self.tool("tpm2_dictionarylockout", "-c")
        self._protect(MAX_FAILURES, RECOVERY_SECONDS)

    def _protect(self, failures: int, seconds: int) -> None:
        self.tool("tpm2_dictionarylockout", "-s", "-n", str(failures), "-t", str(seconds), "-l", "1")


def make_token(folder: Path, *, managed: bool = False) -> TpmToken:
    """Make a TPM in `folder`, a token on it, and the first generation of its key; `managed` by tpm2-abrmd."""
    library = module()
    (folder / "store").mkdir(mode=0o700, parents=True)
    tpm = Swtpm(folder / "tpm")
    with contextlib.ExitStack() as ends:  # of a TPM that did not become a token
        ends.callback(tpm.kill)
        tpm.start()
        gate = ResourceManager(tpm) if managed else Gate(tpm)
        ends.callback(gate.close)
        if isinstance(gate, ResourceManager):
            gate.start()
        token = _token(folder, library, tpm, gate)
        ends.pop_all()
    return token


def _token(folder: Path, library: Path, tpm: Swtpm, gate: Gate | ResourceManager) -> TpmToken:
    environment = gate.environment | {
        "TPM2_PKCS11_TCTI": gate.tcti,
        "TPM2TOOLS_TCTI": gate.tcti,
        "TPM2_PKCS11_STORE": str(folder / "store"),
        "TSS2_LOG": "all+NONE",
    }
    pin, so_pin = secrets.token_hex(8), secrets.token_hex(8)
    pin_file = folder / "pin"
    with os.fdopen(os.open(pin_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(pin)
    uri = f"pkcs11:token={LABEL};object={KEY}?module-path={library}"
    token = TpmToken(folder, uri, pin_file, environment, pin, tpm, gate)
    token.unlock()
    pkcs11 = ("pkcs11-tool", "--module", str(library))
    _run((*pkcs11, "--init-token", "--slot-index", "0", "--label", LABEL, "--so-pin", so_pin), os.environ | environment)
    _run((*pkcs11, "--token-label", LABEL, "--init-pin", "--so-pin", so_pin, "--pin", pin), os.environ | environment)
    make = "import sys; from actod.keys import provision; provision.make_key(sys.argv[1], pin_file=sys.argv[2])"
    subprocess.run([sys.executable, "-c", make, uri, str(pin_file)], env=os.environ | environment, check=True, cwd=_ROOT)
    return token


def _run(command: tuple[str, ...], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def _message(sock: socket.socket) -> bytes:
    """Read one command or answer of the TPM: tag, length of all, code, and the rest."""
    head = read_exactly(sock, _HEADER.size)
    return head + read_exactly(sock, _HEADER.unpack(head)[1] - _HEADER.size)


def read_exactly(sock: socket.socket, count: int) -> bytes:
    """Read so many bytes; EOFError where the other side closes before."""
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(4096):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _listener(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def _two_free_ports() -> int:
    """Return a port that is free with the next one: the library takes the second for the TPM's control channel."""
    for port in _candidates():
        with contextlib.suppress(OSError), _listener(port), _listener(port + 1):
            return port
    raise AssertionError


def _candidates() -> Iterator[int]:
    while True:
        yield secrets.randbelow(20000) + 10000


def _listens(port: int) -> bool:
    """Whether somebody listens; a look at the table, since swtpm would take a try for its one client."""
    wanted = f":{port:04X} 00000000:0000 0A "
    return wanted in Path("/proc/net/tcp").read_text(encoding="ascii")
