"""Key file and state folder: ours alone from the first byte, durable, and refused when they are not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from actod.errors import EXIT_CONFIG, EXIT_INTEGRITY, ConfigError, IntegrityError, TransientError
from actod.service.folder import check_folder, own_folder
from actod.service.keyfile import read_or_make
from hil.rig import ROOT

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def test_a_key_is_made_once_at_random_and_ours_alone(tmp_path: Path) -> None:
    key = read_or_make(tmp_path / "a.key")
    assert read_or_make(tmp_path / "a.key") == key == (tmp_path / "a.key").read_bytes()
    assert len(key) == 32
    assert len(read_or_make(tmp_path / "c.key", size_bytes=16)) == 16
    assert read_or_make(tmp_path / "b.key") != key
    assert (tmp_path / "a.key").stat().st_mode & 0o7777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.key", "b.key", "c.key"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_key_that_cannot_be_made_is_a_disk_that_refuses_and_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="key_file_unwritable"):
        read_or_make(tmp_path / "nowhere" / "a.key")


def test_a_key_is_closed_from_the_first_byte_and_on_disk_before_it_has_its_name(tmp_path: Path) -> None:
    (tmp_path / ".a.key.new").write_bytes(b"left by a power cut")
    (tmp_path / ".a.key.new").chmod(0o644)
    program = (
        "import os, sys; from pathlib import Path; from actod.service.keyfile import read_or_make; os.umask(0)\n"
        "read_or_make(Path(sys.argv[1]))"
    )
    trace = tmp_path / "trace"
    calls = "openat,write,fsync,rename,renameat,renameat2"
    subprocess.run(
        ["strace", "-y", "-o", str(trace), "-e", calls, sys.executable, "-c", program, str(tmp_path / "a.key")],
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    lines = [line for line in trace.read_text().splitlines() if str(tmp_path) in line and "ENOENT" not in line]
    steps = [re.match(r"\w+", line) for line in lines]
    assert [step[0] for step in steps if step] == ["openat", "write", "fsync", "rename", "openat", "fsync"]
    assert re.search(r"O_CREAT\|O_EXCL.*, 0600\)", lines[0])
    assert f"<{tmp_path}>" in lines[-1]
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    key = tmp_path / "a.key"
    read_or_make(key)
    key.chmod(mode)
    with pytest.raises(IntegrityError, match=rf"key_file_open: {key} can be read by others\. Fix: chmod 600") as caught:
        read_or_make(key)
    assert caught.value.exit_code == EXIT_INTEGRITY


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_key_of_another_length_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    key = tmp_path / "a.key"
    key.write_bytes(content)
    key.chmod(0o600)
    with pytest.raises(IntegrityError, match=r"key_file_short: .*32 bytes\. Fix: "):
        read_or_make(key)
    assert key.read_bytes() == content


def test_a_link_a_folder_and_a_pipe_are_no_key(tmp_path: Path) -> None:
    read_or_make(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "dangling", "folder", "pipe"):
        with pytest.raises(IntegrityError, match=r"key_file_(unreadable|short): .*Fix: "):
            read_or_make(tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


@AS_ROOT
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    read_or_make(tmp_path / "a.key")
    os.chown(tmp_path / "a.key", 65534, 65534)
    with pytest.raises(IntegrityError, match=r"key_file_foreign: .*user 65534\. Fix: chown"):
        read_or_make(tmp_path / "a.key")


def test_the_state_folder_is_made_and_ours_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        own_folder(tmp_path / "a" / "state")
    finally:
        os.umask(before)
    assert (tmp_path / "a" / "state").stat().st_mode & 0o777 == 0o700
    own_folder(tmp_path / "a" / "state")
    check_folder(tmp_path / "a" / "state")


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o755, 0o777])
def test_a_folder_that_others_can_enter_is_refused_and_left_as_it_is(tmp_path: Path, mode: int) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(mode)
    for check in (own_folder, check_folder):
        with pytest.raises(
            ConfigError, match=rf"state_directory: expected .*0700, found .*{mode:04o}\. Fix: chmod 700"
        ) as caught:
            check(tmp_path / "state")
        assert caught.value.exit_code == EXIT_CONFIG
    assert (tmp_path / "state").stat().st_mode & 0o777 == mode


@AS_ROOT
def test_a_folder_of_another_user_is_refused_with_his_number(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    os.chown(tmp_path / "state", 65534, 65534)
    with pytest.raises(ConfigError, match=r"belongs to user 65534; we are user 0\. Fix: sudo -u '#65534' actod"):
        own_folder(tmp_path / "state")


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o600)
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=r"state_directory: expected a folder .*Fix: "):
            own_folder(path)
    with pytest.raises(ConfigError, match=r"No such file.*Fix: install -d"):
        check_folder(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
