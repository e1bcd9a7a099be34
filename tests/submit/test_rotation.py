"""The files of a rotation: at each moment the credential is whole, and the old one is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actod.errors import ConfigError, RejectedError
from actod.submit import rotation
from actod.submit.credentials import CredentialFile
from tests.submit.parts import write_private


def begin(file: Path, secret: str = "new", label: str = "dev x") -> Path:
    return rotation.begin(file, key="k", secret=secret, label=label)


def test_the_new_one_takes_the_place_owner_and_mode_of_the_old_one_which_is_kept(folder: Path) -> None:
    file = write_private(folder / "key", "old", mode=0o400)
    if os.getuid() == 0:
        os.chown(file, 12345, 23456)
    was = file.stat()
    assert begin(file).read_text() == "new\nfor dev x\n"
    rotation.swap(file)
    now = file.stat()
    assert (now.st_uid, now.st_gid, now.st_mode) == (was.st_uid, was.st_gid, was.st_mode)
    assert file.read_text() == "new\nfor dev x\n"
    assert rotation.previous(file).read_text() == "old"
    rotation.end(file)
    assert [each.name for each in folder.iterdir()] == ["key"]


def test_one_that_is_given_up_leaves_no_trace_and_a_label_is_not_forced(folder: Path) -> None:
    file = write_private(folder / "key", "old")
    assert begin(file, label="").read_text() == "new\n"
    rotation.abandon(file)
    assert [each.name for each in folder.iterdir()] == ["key"]
    assert file.read_text() == "old"


def test_a_rotation_that_a_power_cut_stopped_half_way_can_be_begun_again(folder: Path) -> None:
    """Between the two steps of a swap the old one has both names."""
    file = write_private(folder / "key", "old")
    begin(file)
    os.link(file, rotation.previous(file))
    assert CredentialFile(file, key="k").read().reveal() == "old"
    begin(file, "newer")
    rotation.swap(file)
    assert file.read_text().startswith("newer\n")
    assert rotation.previous(file).read_text() == "old"


def test_a_second_rotation_waits_for_the_end_of_the_first(folder: Path) -> None:
    file = write_private(folder / "key", "old")
    begin(file)
    rotation.swap(file)
    with pytest.raises(RejectedError, match="rotation_under_way"):
        begin(file, "newer")


def test_a_systemd_credential_is_not_replaced_under_its_unit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    for path in (write_private(folder / "key", "old"), Path("/run/credentials/actod.service/api-key")):
        with pytest.raises(ConfigError, match="LoadCredential"):
            begin(path)
