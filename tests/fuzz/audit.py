r"""Files of an audit log that anybody wrote: read, verified, opened and continued.

`<flags><lines>`; \x1e begins another file. With the low bit of flags the lines that can be are chained and hashed anew; with
the next one all files but the last are compressed, and with the third as they came, to be decompressed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from actod.audit.files import cut_torn_tail, file_name, packed_file, parse_line, whole_lines
from actod.audit.gzipped import deflated
from actod.audit.line import ZERO, line_hash
from actod.audit.log import AuditLog
from actod.audit.verify import verify_log
from actod.config import AuditConfig
from actod.errors import RejectedError
from actod.proof.canonical import canonical
from tests.audit.conftest import SetClock

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made there
_MOST_FILES = 4


def one_input(data: bytes) -> None:
    files = data[1:].split(b"\x1e")[:_MOST_FILES]
    if data[:1] and data[0] & 1:
        files = _chained(files)
    for raw in b"\n".join(files).split(b"\n"):
        line = parse_line(raw)
        assert line is None or (type(line["n"]), type(line["event"]), type(line["hash"])) == (int, str, str)
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        folder = Path(name)
        for number, content in enumerate(files):
            file = folder / file_name(number * 3 + 1)
            ended = number < len(files) - 1 and data[0] & 6
            packed = deflated([content]) if data[:1] and data[0] & 2 else content
            (packed_file(file) if ended else file).write_bytes(packed if ended else content)
        _open_and_go_on(folder, continued=not files[-1] or files[-1].endswith(b"\n"))


def _open_and_go_on(folder: Path, *, continued: bool) -> None:
    """Open and write to a log: one that was good is good afterwards, one that was not is opened all the same."""
    before = verify_log(folder, expected_heads=[ZERO, "f" * 64][:1])
    log = AuditLog(folder, clock=SetClock(), config=AuditConfig())
    try:
        log.record("fuzz.opened", count=1)
        log.flush()
        assert list(log.lines())[-1][0] == "fuzz.opened"
    finally:
        log.close()
    after = verify_log(folder)
    if not before.problem and continued:
        assert not after.problem, after
        assert after.lines == before.lines + 2  # and the epoch before it
    newest = max(folder.glob("audit-*.jsonl"))
    assert cut_torn_tail(newest) == 0
    assert list(whole_lines(newest))[-1]["event"] == "fuzz.opened"


def _chained(files: list[bytes]) -> list[bytes]:
    head, made = ZERO, []
    for content in files:
        lines = []
        for raw in content.split(b"\n"):
            line = parse_line(raw)
            if line is None:
                lines.append(raw)
                continue
            try:
                own = line_hash(line | {"prev": head})
                lines.append(canonical(line | {"prev": head, "hash": own}))
                head = own
            except RejectedError:
                lines.append(raw)
        made.append(b"\n".join(lines))
    return made
