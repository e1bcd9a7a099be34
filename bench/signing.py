"""Signing through the signer process, against the bare token, in turns.

On SoftHSM a bundle takes one Ed25519 signature of the token. On a TPM it takes a P-256 signature of the token, and an
Ed25519 one in the signer's memory. The bare token signs with the same key, called by
python-pkcs11 in a loop; what the signer adds is its socket, the look at what it signs, hashing and verification. CPU is
that of the process that calls the token, which SoftHSM is part of, and swtpm, as a chip, is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from actod.keys.client import SignerClient
from actod.model import EnrolledKey
from actod.proof.canonical import canonical
from bench.figure import Figure
from bench.machine import cpu_seconds, say
from hil.parts import softhsm, swtpm
from hil.parts.softhsm import SoftToken
from hil.rig import ROOT

FLOOR_NAME = "the bare token"
_ROUNDS = 5
_HASH = "0123456789abcdef" * 4

_BARE = """
import sys, time
from pathlib import Path
from actod.keys import uri
from actod.keys.token import load_library, open_token
from pkcs11 import Mechanism
parsed = uri.parse(sys.argv[1])
library = load_library(parsed)
token = open_token(library, parsed, pin=Path(sys.argv[2]).read_text())
pair = token.pair("")
sealed = pair.key.kind == "sealed"
sign = pair._private.sign if sealed else pair._ed25519
arguments = {"mechanism": Mechanism.ECDSA} if sealed else {}
message = bytes(32) if sealed else b"0123456789abcdef" * 4
for turns in (20, int(sys.argv[3])):
    began, busy = time.perf_counter(), time.process_time()
    for _ in range(turns):
        sign(message, **arguments)
print(time.perf_counter() - began, time.process_time() - busy, flush=True)
token.close()
"""


def signing(folder: Path) -> list[Figure]:
    """Measure both kinds of token."""
    kinds: dict[str, tuple[Callable[[Path], SoftToken], int]] = {
        "SoftHSM": (softhsm.make_token, 1000),
        "swtpm": (swtpm.make_token, 50),
    }
    figures = []
    for name, (make, count) in kinds.items():
        say(f"signing with {name}")
        with contextlib.closing(make(folder / name)) as token:
            figures += _measured(name, token, folder / f"{name}-signer", count)
    return figures


def _measured(name: str, token: SoftToken, folder: Path, count: int) -> list[Figure]:
    folder.mkdir(mode=0o700)
    config = folder / "actod.toml"
    config.write_text(_CONFIG.format(folder=folder, uri=token.uri, pin=token.pin_file), encoding="utf-8")
    for file in ("api-key", "ca.pem"):
        (folder / file).touch(0o600)
    environment = dict(os.environ) | dict(token.environment) | {"PYTHONPATH": str(ROOT)}
    ours, bare = [], []
    for _turn in range(_ROUNDS):  # one after the other: a TPM has one user at a time
        bare.append(_bare(token, environment, count))
        ours.append(asyncio.run(_through_the_signer(config, folder, environment, count)))
    floor = f"{FLOOR_NAME}, {name}"
    return [
        Figure(
            name=f"sign a bundle, {name}, {words}",
            unit="ms",
            values=[run[index] for run in ours],
            floors=[run[index] for run in bare],
            floor_name=floor,
            kind=kind,
        )
        for index, words, kind in ((0, "wall clock", "wall"), (1, "CPU of the signer", "cpu"))
    ]


def _bare(token: SoftToken, environment: dict[str, str], count: int) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", _BARE, token.uri, str(token.pin_file), str(count)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    wall, busy = done.stdout.split()
    return float(wall) / count * 1e3, float(busy) / count * 1e3


async def _through_the_signer(config: Path, folder: Path, environment: dict[str, str], count: int) -> tuple[float, float]:
    """Return wall clock and CPU, in ms a bundle."""
    client = SignerClient(folder / "run" / "signer.sock", timeout_seconds=30)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs on this loop
            [sys.executable, "-m", "actod", "signer", "--config", str(config)], env=environment, stdout=log, stderr=log
        )
    try:
        (key,) = await _until_there(client)
        payload = _payload(key)
        for turns in (20, count):  # the first warm up
            began, busy = time.perf_counter(), cpu_seconds(process.pid)
            for _ in range(turns):
                if key.kind == "sealed":
                    await client.cosign(payload)
                await client.sign_payload_hash(_HASH)
        return (time.perf_counter() - began) / count * 1e3, (cpu_seconds(process.pid) - busy) / count * 1e3
    finally:
        client.close()
        process.terminate()
        process.wait(20)


def _payload(key: EnrolledKey) -> bytes:
    """Write a payload that names the key, as large as a full bundle's."""
    names = {"ed25519": key.ed25519_thumbprint, "kind": key.kind, "p256": key.p256_thumbprint}
    return canonical(
        {
            "created_at": "2026-01-01T00:00:00.000000Z",
            "hash_alg": "sha256",
            "meta": {"actod": {"key": names}},
            "signature_alg": "ed25519",
            "subject": {"robot_id": None, "run_id": None, "task_id": "idle"},
            "telemetry_hash": _HASH,
            "telemetry_normalized": {"events": ["x" * 500] * 700},
            "version": "1",
        }
    )


async def _until_there(client: SignerClient) -> tuple[EnrolledKey, ...]:
    deadline = time.monotonic() + 60
    while True:
        try:
            return await client.keys()
        except Exception:  # the token opens
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


_CONFIG = """environment = "dev"
state_directory = "{folder}"

[token]
uri = "{uri}"
pin_file = "{pin}"

[collector]
url = "https://127.0.0.1:1"
pins = ["sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "sha256/AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
ca_file = "{folder}/ca.pem"
api_key_file = "{folder}/api-key"

[[routes]]
name = "all"
topic = "robot/#"
"""
