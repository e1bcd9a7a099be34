"""What cannot be masked is sealed to the operator: the robot can write it, and only the private key reads it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from actod.errors import ConfigError, RejectedError
from actod.model import Delivery, Instant
from actod.store.vault import SealedVault, make_operator_key, read_private_key, unseal

PAYLOAD = b'{"name": "Jane Roe", "x": "\xff"}'


def delivery(payload: bytes = PAYLOAD) -> Delivery:
    return Delivery(
        topic="site/notes",
        payload=payload,
        qos=1,
        packet_id=1,
        connection=1,
        duplicate=False,
        retained=False,
        received=Instant(1_700_000_000_000_000_000, 1),
    )


def vault(folder: Path, *, max_bytes: int = 100_000) -> tuple[SealedVault, str]:
    public = make_operator_key(folder / "private")
    return SealedVault(folder / "vault", operator_key=public, max_bytes=max_bytes), (folder / "private").read_text().strip()


def test_what_is_kept_is_read_by_the_private_key_alone(tmp_path: Path) -> None:
    kept, private = vault(tmp_path)
    assert kept.keep(delivery())
    (file,) = (tmp_path / "vault").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    sealed = file.read_bytes()
    assert b"Roe" not in sealed
    content = json.loads(unseal(sealed, private_key=base64.b64decode(private)))
    assert (content["topic"], base64.b64decode(content["payload_b64"])) == ("site/notes", PAYLOAD)
    assert content["received"].startswith("2023-11-14T22:13:20")
    make_operator_key(tmp_path / "other")
    for wrong, data in (((tmp_path / "other").read_text(), sealed), (private, sealed[:-1])):
        with pytest.raises(RejectedError, match="not_sealed_to_us"):
            unseal(data, private_key=base64.b64decode(wrong))
    with pytest.raises(ConfigError, match="--key"):
        read_private_key("no key")


def test_a_full_vault_keeps_nothing_more_and_says_so_and_knows_its_size_after_a_restart(tmp_path: Path) -> None:
    kept, _ = vault(tmp_path, max_bytes=8000)
    assert kept.keep(delivery())
    assert not kept.keep(delivery(b"x" * 400))
    public = make_operator_key(tmp_path / "again")
    assert not SealedVault(tmp_path / "vault", operator_key=public, max_bytes=8000).keep(delivery(b"x" * 400))
    assert len(list((tmp_path / "vault").iterdir())) == 1


@pytest.mark.parametrize("text", ["", "x", "AAAA", "A" * 44 + "!", base64.b64encode(bytes(31)).decode()])
def test_what_is_no_public_key_is_refused_with_the_command_that_makes_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"masking\.operator_key.*actod vault key FILE"):
        SealedVault(tmp_path, operator_key=text, max_bytes=1)


def test_the_command_makes_a_key_and_opens_what_was_sealed(tmp_path: Path) -> None:
    def actod(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "actod", "vault", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    made = actod("key", str(tmp_path / "private"))
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600
    public = made.stdout.split('"')[1]
    assert actod("key", str(tmp_path / "private")).returncode == 1  # never over another
    SealedVault(tmp_path / "vault", operator_key=public, max_bytes=10_000).keep(delivery())
    (file,) = (tmp_path / "vault").iterdir()
    opened = actod("open", "--key", str(tmp_path / "private"), str(file))
    assert base64.b64decode(json.loads(opened.stdout)["payload_b64"]) == PAYLOAD
    failed = actod("open", "--key", str(tmp_path / "private"), str(tmp_path / "private"), str(tmp_path / "none"))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "not_sealed_to_us" in failed.stderr
    assert "No such file" in failed.stderr
