"""The log: what it takes out, where it goes, and that it never ends what it tells of."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import structlog

from actod.service import log
from actod.service.log import redact
from actod.service.messages import MESSAGES
from hil.rig import ROOT

TALK = """
    import structlog
    from actod.config import LogConfig
    from actod.service import log
    log.configure(LogConfig({config}){more})
    logger = structlog.get_logger("test")
    logger.debug("A small thing.")
    logger.info("A thing.", count=3, pin="1234-secret")
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("A failure.", payload=b"1234-secret")
"""
# What systemd's Python binding offers, of which actod uses journal.send
BINDING = """
    import json, os
    def send(message, **fields):
        if os.environ.get("JOURNAL_AWAY"):
            raise OSError("no journal")
        with open(os.environ["JOURNAL_FILE"], "a") as file:
            file.write(json.dumps({"MESSAGE": message, **fields}) + "\\n")
"""


def talk(folder: Path, config: str = "", *, journal: bool = False, more: str = "", **environment: str) -> str:
    """Run a small program that logs; return its stderr, which is a file. `journal` says that the file is journald's."""
    program = textwrap.dedent(TALK).format(config=config, more=more)
    with (folder / "stderr").open("w+") as stderr:
        seen = os.fstat(stderr.fileno())
        variables = {
            "JOURNAL_STREAM": f"{seen.st_dev}:{seen.st_ino + (not journal)}",
            "JOURNAL_FILE": str(folder / "journal"),
        }
        subprocess.run(
            [sys.executable, "-c", program],
            env=dict(os.environ) | {"PYTHONPATH": f"{folder}:{ROOT}"} | variables | environment,
            stderr=stderr,
            check=True,
        )
        stderr.seek(0)
        return stderr.read()


@pytest.fixture
def binding(tmp_path: Path) -> Path:
    """Stand in for systemd's Python binding, which needs libsystemd; return where its journal is written."""
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "__init__.py").touch()
    (tmp_path / "systemd" / "journal.py").write_text(textwrap.dedent(BINDING))
    return tmp_path / "journal"


def without_binding(folder: Path) -> None:
    """Make sure that the binding is missing, wherever the test runs."""
    (folder / "systemd.py").write_text("raise ImportError\n")


def test_without_systemd_a_line_is_json_with_its_fields_and_time(tmp_path: Path) -> None:
    said = talk(tmp_path)
    lines = [json.loads(line) for line in said.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("A thing.", "info"), ("A failure.", "error")]
    assert lines[0]["count"] == 3
    assert lines[0]["timestamp"].endswith("Z")
    assert "ValueError: broken" in lines[1]["exception"]
    assert (lines[0]["pin"], lines[1]["payload"]) == ("[redacted]", "[redacted]")
    assert "1234-secret" not in said


def test_text_is_for_people_and_the_level_is_heeded(tmp_path: Path) -> None:
    said = talk(tmp_path, 'format="text", level="debug"')
    assert "A small thing." in said
    assert "count=3" in said
    assert "ValueError: broken" in said
    assert "1234-secret" not in said
    assert talk(tmp_path, 'format="text", level="error"').count("A thing.") == 0


def test_under_systemd_the_journal_gets_message_priority_and_fields(tmp_path: Path, binding: Path) -> None:
    assert talk(tmp_path, journal=True) == ""
    first, second = (json.loads(line) for line in binding.read_text().splitlines())
    assert first == {
        "MESSAGE": "A thing.",
        "PRIORITY": 6,
        "SYSLOG_IDENTIFIER": "actod",
        "ACTOD_COUNT": "3",
        "ACTOD_PIN": "[redacted]",
    }
    assert (second["PRIORITY"], second["ACTOD_PAYLOAD"]) == (3, "[redacted]")
    assert "ValueError: broken" in second["ACTOD_EXCEPTION"]


def test_a_terminal_that_inherits_the_variable_is_not_taken_for_the_journal(tmp_path: Path, binding: Path) -> None:
    assert "A thing." in talk(tmp_path, journal=False)
    assert not binding.exists()


def test_a_journal_that_is_away_ends_nothing(tmp_path: Path, binding: Path) -> None:
    assert talk(tmp_path, journal=True, JOURNAL_AWAY="1") == ""
    assert not binding.exists()


def test_a_missing_binding_is_said_once_with_its_remedy(tmp_path: Path) -> None:
    without_binding(tmp_path)
    lines = [json.loads(line) for line in talk(tmp_path, journal=True).splitlines()]
    assert [line["level"] for line in lines] == ["warning", "info", "error"]
    assert "Python binding of systemd is missing" in lines[0]["event"]
    assert "python3-systemd" in lines[0]["remedy"]
    for quiet in ({"more": ", announce=False"}, {"config": 'format="json"'}):
        assert "binding" not in talk(tmp_path, journal=True, **quiet)
    assert "binding" not in talk(tmp_path, journal=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_or_a_reader_that_left_ends_nothing() -> None:
    program = textwrap.dedent(TALK).format(config="", more="") + 'print("went on")\n'
    reader, writer = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("w") as full, os.fdopen(writer, "w") as left:
        for stderr in (full, left):
            done = subprocess.run(
                [sys.executable, "-c", program],
                env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=stderr,
                check=False,
            )
            assert done.stdout == b"went on\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, "s3cret") for name in ("pin", "PIN", "password", "api_key", "authorization", "payload", "data", "wallet")],
        ("broker_password", "s3cret"),
        ("old_pin", "s3cret"),
        ("body", b"s3cret"),
        ("body", bytearray(b"s3cret")),
        ("body", memoryview(b"s3cret")),
        ("bodies", [b"s3cret"]),
        ("bodies", (1, [b"s3cret"])),
        ("bodies", {b"s3cret"}),
        ("headers", {"authorization": "s3cret"}),
        ("nested", {"a": [{"password": "s3cret"}, {"b": b"s3cret"}]}),
    ],
)
def test_secrets_by_name_and_bytes_are_taken_out_wherever_they_lie(name: str, value: Any) -> None:
    event = redact(None, "info", {"event": "A thing.", name: value})
    shown = json.dumps(event, default=str)
    assert "s3cret" not in shown
    assert "[redacted]" in shown
    assert event["event"] == "A thing."


@pytest.mark.parametrize(
    "fields", [{"reason": "pin_incorrect"}, {"pins": 2}, {"count": 0}, {"why": None}, {"where": Path("/x")}, {"on": True}]
)
def test_what_is_no_secret_stays(fields: dict[str, Any]) -> None:
    assert redact(None, "info", dict(fields)) == fields


def test_an_endless_value_is_cut_and_says_so() -> None:
    event = redact(None, "info", {"event": "e" * 10_000, "topics": ["t" * 600], "exception": "x" * 2000})
    assert event["event"] == "e" * 512 + "... (10000 characters)"
    assert event["topics"] == ["t" * 512 + "... (600 characters)"]
    assert event["exception"] == "x" * 2000


def test_a_secret_in_a_sentence_or_an_exception_is_taken_out_by_what_masks_telemetry(tmp_path: Path) -> None:
    token = "gh" + "p_" + "a1B2" * 9
    script = (
        "import structlog; from actod.cli.run import _scrubber; from actod.config import LogConfig\n"
        "from actod.service import log; log.configure(LogConfig(format='json'), scrub=_scrubber())\n"
        "logger = structlog.get_logger('x')\n"
        f"logger.warning('the proxy said {token}', detail='Authorization: Bearer {token}')\n"
        f"try:\n    raise ValueError('key {token}')\nexcept ValueError:\n    logger.exception('Failed.')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True, cwd=tmp_path
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"].split("<")[0] for line in lines] == ["the proxy said ", "Failed."]
    assert "ValueError" in lines[1]["exception"]
    assert token not in done.stderr


def test_a_line_that_comes_too_often_is_held_back_and_counted() -> None:
    script = (
        "import structlog; from actod.config import LogConfig; from actod.service import log\n"
        "log.configure(LogConfig(format='json')); logger = structlog.get_logger('x')\n"
        "for n in range(25): logger.warning('A thing.', n=n)\n"
        "logger.info('Another thing.')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True, cwd=ROOT)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["n"] for line in lines if line["event"] == "A thing."] == list(range(10))
    assert [line["event"] for line in lines[10:]] == ["Another thing.", "A line came too often; it was held back."]
    assert (lines[-1]["line"], lines[-1]["count"]) == ("A thing.", 15)


def test_what_was_held_back_is_told_when_the_sentence_may_be_said_again() -> None:
    now, passed = [0.0], 0
    repeats = log.Repeats(clock=lambda: now[0])
    with structlog.testing.capture_logs() as told:
        for second in range(120):
            now[0] = float(second)
            with contextlib.suppress(structlog.DropEvent):
                repeats(None, "info", {"event": "A thing."})
                passed += 1
    assert passed == 20
    assert [(line["line"], line["count"]) for line in told] == [("A thing.", 50)]


def test_under_systemd_a_known_sentence_has_its_message_id(tmp_path: Path, binding: Path) -> None:
    more = ")\nstructlog.get_logger('x').info('The disk takes data again.', parts=['a', 'b']"
    talk(tmp_path, more=more, journal=True)
    first = json.loads(binding.read_text().splitlines()[0])
    assert first["MESSAGE_ID"] == MESSAGES["The disk takes data again."].id
    assert first["ACTOD_PARTS"] == "a, b"
