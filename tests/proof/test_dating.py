"""Bundles of a boot whose clock was only set later: `actod verify` shows both times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from nacl.signing import SigningKey

from actod.cli.main import main
from actod.model import Stream, TrafficClass
from actod.proof.chain import verify_set
from actod.proof.envelope import assemble
from tests.proof.conftest import bundle_of, context_of, keys_of

BOOT, OTHER = "6b7f3c1e-0000-4000-8000-000000000001", "6b7f3c1e-0000-4000-8000-000000000002"
OFFSET_MS = 1_767_323_000_000  # 2026-01-02T03:03:20Z
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make(signing_key: SigningKey) -> Make:
    """Seal bundles of the device's own chain, one after the other."""
    last: list[str] = []

    def sealed(
        event: dict[str, Any], *, monotonic_ms: int, synchronised: bool | None, boot_id: str = BOOT
    ) -> dict[str, Any]:
        clock = {"wall": "1970-01-01T00:00:12+00:00", "monotonic_ms": monotonic_ms, "synchronised": synchronised}
        context = context_of(boot_id=boot_id, clock=clock, created_at="1970-01-01T00:00:12+00:00")
        number = len(last) + 1
        stream = Stream(None, "actod", None, TrafficClass.NORMAL)
        bundle = bundle_of(
            [event], seq=number, device_seq=number, previous=last[-1] if last else None, stream=stream, boot_id=boot_id
        )
        unsigned = assemble(bundle, keys=keys_of(signing_key), context=context).finish(None)
        last.append(unsigned.payload_hash)
        body: dict[str, Any] = orjson.loads(unsigned.sign(signing_key.sign(unsigned.payload_hash.encode()).signature).body)
        return body

    return sealed


def record(topic: str, **data: Any) -> dict[str, Any]:
    return {"data": data, "topic": f"actod/{topic}", "ts": "1970-01-01T00:00:12Z"}


def clock_set(**changes: Any) -> dict[str, Any]:
    facts = {"boot_id": BOOT, "offset_ms": OFFSET_MS, "stepped_ms": OFFSET_MS, "synchronised": True}
    return record("clock_set", **(facts | changes))


def test_what_was_sealed_before_the_clock_was_set_is_dated_by_the_record_that_says_so(make: Make) -> None:
    envelopes = [
        make(record("start"), monotonic_ms=12_000, synchronised=False),
        make(clock_set(), monotonic_ms=60_000, synchronised=True),
        make(record("heartbeat"), monotonic_ms=13_000, synchronised=False, boot_id=OTHER),
    ]
    report = verify_set(envelopes)
    assert [one.problems for one in report.envelopes] == [[], [], []]
    assert [one.dated_at for one in report.envelopes] == ["2026-01-02T03:03:32.000000+00:00", "", ""]


def test_the_newest_record_of_a_boot_counts_and_one_by_no_better_clock_does_not(make: Make) -> None:
    envelopes = [
        make(record("start"), monotonic_ms=0, synchronised=None),
        make(clock_set(offset_ms=1000), monotonic_ms=1, synchronised=True),
        make(clock_set(), monotonic_ms=2, synchronised=True),
        make(clock_set(offset_ms=5000, synchronised=None), monotonic_ms=3, synchronised=True),
    ]
    assert verify_set(envelopes).envelopes[0].dated_at == "2026-01-02T03:03:20.000000+00:00"


@pytest.mark.parametrize("changes", [{"offset_ms": "x"}, {"offset_ms": 10**18}, {"boot_id": []}, {"synchronised": 1}])
def test_a_malformed_record_dates_nothing(make: Make, changes: dict[str, Any]) -> None:
    envelopes = [
        make(record("start"), monotonic_ms=0, synchronised=False),
        make(clock_set(**changes), monotonic_ms=1, synchronised=True),
    ]
    assert verify_set(envelopes).envelopes[0].dated_at == ""


def test_verify_prints_both_times(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bundles.jsonl"
    envelopes = [
        make(record("start"), monotonic_ms=12_000, synchronised=False),
        make(clock_set(), monotonic_ms=60_000, synchronised=True),
    ]
    file.write_bytes(b"\n".join(map(orjson.dumps, envelopes)))
    assert main(["verify", str(file)]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("DATED")]
    assert len(said) == 1
    assert "1970-01-01T00:00:12+00:00 by a clock that was not set, 2026-01-02T03:03:32" in said[0]
