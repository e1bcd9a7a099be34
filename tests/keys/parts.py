"""The real signer process over a throwaway SoftHSM token, and a client that sends any bytes."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from actod.errors import TransientError
from actod.keys import wire
from actod.keys.client import SignerClient
from actod.keys.supervisor import SignerProcess
from hil.parts.softhsm import KEY, LABEL, SoftToken, module
from hil.parts.swtpm import read_exactly
from hil.rig import ROOT, wait_for
from tests.keys.ckr import CALLS, CODES

# pin and URI stand in argv here, of a token that lives as long as the test
TIMEOUT_SECONDS = 0.6
HASH = "0123456789abcdef" * 4

KEYMAKER = """
    import sys
    import pkcs11
    from nacl.signing import SigningKey
    from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
    from pkcs11.util.ec import encode_named_curve_parameters
    from hil.parts.softhsm import KEY, LABEL, module
    kind, pin = sys.argv[1:]
    with pkcs11.lib(str(module())).get_token(token_label=LABEL).open(rw=True, user_pin=pin) as session:
        if kind == "imported":
            key = SigningKey.generate()
            common = {Attribute.KEY_TYPE: KeyType.EC_EDWARDS, Attribute.TOKEN: True, Attribute.LABEL: KEY,
                      Attribute.EC_PARAMS: encode_named_curve_parameters("1.3.101.112")}
            session.create_object(common | {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.VALUE: bytes(key),
                                            Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.SIGN: True})
            point = bytes([4, 32]) + bytes(key.verify_key)
            session.create_object(common | {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.EC_POINT: point})
            sys.exit()
        if kind == "p256":
            parts = KeyType.EC, encode_named_curve_parameters("secp256r1"), Mechanism.EC_KEY_PAIR_GEN
        else:
            parts = KeyType.EC_EDWARDS, encode_named_curve_parameters("1.3.101.112"), Mechanism.EC_EDWARDS_KEY_PAIR_GEN
        parameters = session.create_domain_parameters(parts[0], {Attribute.EC_PARAMS: parts[1]}, local=True)
        closed = {Attribute.SENSITIVE: kind != "open", Attribute.EXTRACTABLE: kind in {"open", "extractable"}}
        parameters.generate_keypair(mechanism=parts[2], store=True, label=KEY, private_template=closed)
"""


def add_key(token: SoftToken, kind: str) -> None:
    """Make a key that actod would not: p256, extractable, open (not sensitive), or imported."""
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KEYMAKER), kind, token.pin],
        env=os.environ | token.environment | {"PYTHONPATH": str(ROOT)},
        check=True,
    )


def write_config(folder: Path, token: SoftToken, *, environment: str = "dev", uri: str = "", settings: str = "") -> Path:
    """Write a configuration whose token is real; broker and collector are never asked."""
    file = folder / "actod.toml"
    pins = ["sha256/" + "A" * 43 + "=", "sha256/" + "B" * 42 + "A="]
    file.write_text(
        f"""environment = "{environment}"
state_directory = {json.dumps(str(folder / "state"))}
[collector]
url = "https://collector.example"
pins = {json.dumps(pins)}
api_key_file = "api-key"
[[routes]]
name = "all"
topic = "robot/#"
[token]
uri = {json.dumps(uri or token.uri)}
pin_file = {json.dumps(str(token.pin_file))}
{settings}
""",
        encoding="utf-8",
    )
    return file


def write_pin(token: SoftToken, pin: str) -> None:
    """Put a PIN into the token's file, which gets a new inode, as a file that is written anew does."""
    new = token.pin_file.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(pin)
    new.rename(token.pin_file)


@dataclass
class Spy:
    """The module of spy.c in front of SoftHSM, and its switches."""

    library: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"SPY_MODULE": str(module()), "SPY_FOLDER": str(self.folder)}

    @property
    def uri(self) -> str:
        return f"pkcs11:token={LABEL};object={KEY}?module-path={self.library}"

    def logins(self) -> int:
        return self.count("logins")

    def count(self, name: str) -> int:
        file = self.folder / name
        return file.stat().st_size if file.exists() else 0

    def on(self, switch: str) -> None:
        (self.folder / switch).touch()

    def off(self, switch: str) -> None:
        (self.folder / switch).unlink()

    def fault(self, function: str, what: str, *, skip: int = 0, times: int = 0) -> None:
        """Let a call go wrong from now on: with a CKR_* by its name, or in another way that spy.c knows."""
        new = self.folder / "fault.new"
        new.write_text(f"{secrets.token_hex(8)} {CALLS[function]} {CODES.get(what, what)} {skip} {times}")
        (self.folder / "calls").unlink(missing_ok=True)
        new.rename(self.folder / "fault")

    def well(self) -> None:
        """Let everything go well again."""
        (self.folder / "fault").unlink(missing_ok=True)


class Child:
    """A supervised signer, the events that its supervisor tells, and a client."""

    def __init__(self, config_file: Path, socket: Path) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.supervisor = SignerProcess(
            config_file=config_file,
            socket=socket,
            timeout_seconds=TIMEOUT_SECONDS,
            on_event=self._note,
            start_seconds=2.0,
        )
        self.client = SignerClient(socket, timeout_seconds=TIMEOUT_SECONDS)

    def _note(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    def started(self) -> list[int]:
        return [fields["pid"] for event, fields in self.events if event == "signer.started"]

    def ended(self) -> list[str]:
        return [fields["why"] for event, fields in self.events if event == "signer.ended"]

    async def signs(self) -> bytes:
        """Return a signature, waiting for it as the sealer does."""
        async with asyncio.timeout(20):
            while True:
                try:
                    return await self.client.sign_payload_hash(HASH)
                except TransientError:
                    await asyncio.sleep(0.05)

    async def starts(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.started()) < count:
                await asyncio.sleep(0.02)


@dataclass
class Signer:
    """`actod signer` as its own process."""

    config_file: Path
    socket: Path
    log_file: Path
    environment: dict[str, str] = field(repr=False)
    prefix: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self, *, listening: bool = True) -> None:
        """Start, and return when it answers."""
        command = [*self.prefix, sys.executable, "-m", "actod", "signer", "--config", str(self.config_file)]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--socket", str(self.socket)], env=self.environment, cwd=ROOT, stdout=log, stderr=log
            )
        if listening:
            wait_for(self.listens, what="the signer's socket")

    def listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log_file.read_text()
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def end(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(self.socket))
            yield sock

    def ask(self, operation: bytes, body: bytes = b"") -> tuple[bytes, bytes]:
        """Send one request on a connection of its own; return (word, body)."""
        with self.connected() as sock:
            return ask(sock, operation, body)

    def reason(self) -> str:
        """Ask for a signature; return "" for one, or why there is none."""
        word, body = self.ask(wire.SIGN_BUNDLE, secrets.token_hex(32).encode())
        return "" if word == b"ok" else body.decode()

    def becomes(self, reason: str) -> None:
        """Ask until the answer is this one: after a failure the token is left alone for a while."""
        wait_for(lambda: self.reason() == reason, seconds=15, what=f"the answer {reason!r}")

    def stats(self) -> dict[str, Any]:
        word, body = self.ask(wire.STATS)
        assert word == b"ok"
        return orjson.loads(body)


def ask(sock: socket.socket, operation: bytes, body: bytes = b"") -> tuple[bytes, bytes]:
    """Send one request; return (word, body), of an error without its sentence."""
    sock.sendall(wire.pack(operation, body))
    word, said = answer(sock)
    return word, said if word == b"ok" else said.partition(b"\n")[0]


def answer(sock: socket.socket) -> tuple[bytes, bytes]:
    """Read one whole answer; EOFError where the other side closes instead."""
    length = int.from_bytes(read_exactly(sock, 4))
    word, newline, body = read_exactly(sock, length).partition(b"\n")
    assert newline
    return word, body
