"""What the signer process signs, and what it does not, over its real socket and a real token."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from nacl.signing import VerifyKey

from actod.keys import wire
from actod.proof import thumbprint
from actod.proof.thumbprint import base64url
from hil.parts.softhsm import KEY, SoftToken
from tests.keys.parts import Signer, answer

HASH = b"0123456789abcdef" * 4
PURPOSE = b"actod:witness:v1\nanything"


def verify_key(signer: Signer) -> VerifyKey:
    word, body = signer.ask(wire.KEYS)
    assert word == b"ok"
    return VerifyKey(base64.urlsafe_b64decode(orjson.loads(body)["keys"][0]["ed25519"] + "="))


def test_the_public_key_is_given_with_its_thumbprint_and_marked_as_software(signer: Signer) -> None:
    key = verify_key(signer)
    (said,) = orjson.loads(signer.ask(wire.KEYS)[1])["keys"]
    assert said == {
        "label": KEY,
        "generation": 1,
        "ed25519": base64url(bytes(key)),
        "ed25519_thumbprint": thumbprint.ed25519(bytes(key)),
        "p256": None,
        "p256_thumbprint": None,
        "kind": "software",
    }


def test_a_payload_hash_and_a_purpose_are_signed_and_verify_elsewhere(signer: Signer) -> None:
    key = verify_key(signer)
    word, signature = signer.ask(wire.SIGN_BUNDLE, HASH)
    assert word == b"ok"
    assert key.verify(HASH, signature) == HASH
    word, said = signer.ask(wire.SIGN_PURPOSE, PURPOSE)
    assert word == b"ok"
    both = orjson.loads(said)
    assert key.verify(PURPOSE, base64.urlsafe_b64decode(both["ed25519"] + "==")) == PURPOSE
    assert both["p256"] is None
    assert signer.stats()["refused"] == 0


def test_every_other_request_is_refused_and_counted_and_the_token_is_not_asked(signer: Signer) -> None:
    bodies = [
        (wire.SIGN_BUNDLE, body)
        for body in (
            b"",
            HASH[:63],
            HASH + b"0",
            HASH.upper(),
            HASH[:63] + b"g",
            HASH[:63] + b"\n",
            HASH + b"\n",
            bytes(range(64)),
            PURPOSE,
            b"\xd9\xa0" * 32,
        )
    ]
    bodies += [
        (wire.SIGN_PURPOSE, body)
        for body in (
            b"",
            HASH,
            b"anything",
            b" actod:witness:v1\n",
            b"actod:witness:v2\n",
            b"actod:Witness:v1\n",
            b"actod::v1\n",
            b"actod:witness:v1",
            b"actod:" + b"w" * 33 + b":v1\n",
            PURPOSE + b"x" * 16384,
        )
    ]
    bodies += [(wire.KEYS, b"x"), (wire.COSIGN, HASH), (b"sign", HASH), (b"", HASH), (b"SIGN_BUNDLE", HASH)]
    for operation, body in bodies:
        assert signer.ask(operation, body) == (b"error", b"request_refused"), (operation, body[:80])
    stats = signer.stats()
    assert (stats["refused"], stats["calls"]) == (len(bodies), 0)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\0\0\0",
        (wire.MAX_FRAME_BYTES + 1).to_bytes(4) + b"keys\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\4keys",
        b"\xff" * 64,
    ],
    ids=["empty", "oversized", "http", "no newline", "ones"],
)
def test_a_frame_that_is_none_closes_the_connection_and_no_other(signer: Signer, garbage: bytes) -> None:
    with signer.connected() as other, signer.connected() as sock:
        sock.sendall(garbage)
        with pytest.raises((EOFError, ConnectionResetError)):
            answer(sock)
        other.sendall(wire.pack(wire.SIGN_BUNDLE, HASH))
        assert answer(other)[0] == b"ok"


def test_a_frame_in_pieces_and_two_at_once_are_answered_in_order(signer: Signer) -> None:
    with signer.connected() as sock:
        for byte in wire.pack(wire.SIGN_BUNDLE, HASH):
            sock.sendall(bytes([byte]))
        first = answer(sock)
        sock.sendall(wire.pack(wire.SIGN_BUNDLE, HASH) + wire.pack(b"nonsense"))
        assert answer(sock) == first  # Ed25519 is deterministic
        assert answer(sock) == (b"error", b"request_refused")


def test_stats_count_calls_latencies_and_nothing_else(signer: Signer) -> None:
    for _ in range(3):
        assert signer.reason() == ""
    stats = signer.stats()
    assert (stats["calls"], stats["errors"], stats["refused"]) == (3, {}, 0)
    assert 0 < stats["p50_seconds"] <= stats["p99_seconds"] < 5
    assert float(signer.ask(wire.PING)[1]) == 0.0


STRANGER = """
import os, socket, sys
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as sock:
    try:
        sock.connect(sys.argv[1])
    except PermissionError:
        sys.exit("no way in")
    sock.sendall(bytes.fromhex(sys.argv[2]))
    sys.stdout.buffer.write(sock.recv(1000))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_kept_out_by_the_mode_and_behind_it_by_the_kernels_word(
    token: SoftToken, make_signer: Callable[..., Signer], open_folder: Path
) -> None:
    signer = make_signer(token, folder=open_folder)
    signer.start()
    assert (signer.socket.stat().st_mode & 0o777, signer.socket.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    def stranger() -> subprocess.CompletedProcess[bytes]:
        frame = wire.pack(wire.SIGN_BUNDLE, HASH).hex()
        command = [sys.executable, "-c", STRANGER, str(signer.socket), frame]
        return subprocess.run(command, capture_output=True, check=False, timeout=20)

    assert stranger().stderr == b"no way in\n"
    signer.socket.parent.chmod(0o755)
    assert stranger().stderr == b"no way in\n"
    signer.socket.chmod(0o666)
    # Nothing of the request is read: the kernel may reset the connection before the answer is.
    assert stranger().stdout in {wire.pack(b"error", b"peer_refused"), b""}
    assert (signer.stats()["refused"], signer.stats()["calls"]) == (1, 0)
    assert "A process of another user was refused." in signer.log_file.read_text()
    assert signer.reason() == ""


def test_a_socket_that_was_left_is_replaced_and_one_in_use_is_not(
    token: SoftToken, make_signer: Callable[..., Signer]
) -> None:
    first = make_signer(token)
    first.start()
    second = make_signer(token)
    second.start(listening=False)
    assert second.process is not None
    assert second.process.wait(20) == 75
    assert "another signer listens" in second.log_file.read_text()
    assert first.reason() == ""
    assert first.process is not None
    first.process.kill()
    first.process.wait(10)
    assert first.socket.exists()
    second.start()
    assert second.reason() == ""


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_may_write_is_refused(
    token: SoftToken, make_signer: Callable[..., Signer], tmp_path: Path, mode: int
) -> None:
    signer = make_signer(token)
    signer.socket.parent.mkdir()
    signer.socket.parent.chmod(mode)
    signer.start(listening=False)
    assert signer.process is not None
    assert signer.process.wait(20) == 78
    said = signer.log_file.read_text()
    assert f"{tmp_path / 'actod.toml'}: signer.socket: expected a folder that only we can write" in said
    assert "Fix: " in said
    assert "Traceback" not in said


def test_a_socket_whose_path_is_too_long_is_refused(token: SoftToken, make_signer: Callable[..., Signer]) -> None:
    signer = make_signer(token)
    signer.socket = signer.socket.parent / ("x" * 110)
    signer.start(listening=False)
    assert signer.process is not None
    assert signer.process.wait(20) == 78
    said = signer.log_file.read_text()
    assert "signer.socket: expected a path at which we can make a socket" in said
    assert "at most 107 bytes" in said
    assert "Traceback" not in said


def test_the_socket_speaks_to_this_machine_only(signer: Signer) -> None:
    assert signer.process is not None
    inodes = {
        link.readlink().name
        for link in Path(f"/proc/{signer.process.pid}/fd").iterdir()
        if str(link.readlink()).startswith("socket:")
    }
    tables = [Path(f"/proc/{signer.process.pid}/net/{name}").read_text() for name in ("tcp", "tcp6", "udp", "udp6")]
    numbers = {inode.removeprefix("socket:[").removesuffix("]") for inode in inodes}
    assert numbers
    assert not [line for table in tables for line in table.splitlines()[1:] if line.split()[9] in numbers]
