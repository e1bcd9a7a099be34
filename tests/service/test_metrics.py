"""Metrics as Prometheus reads them, labels that cannot grow, and counters that outlive kills and never say too much."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from actod.latency import BOUNDS_SECONDS, Latency
from actod.service.keptcounters import FILE, KeptCounters
from actod.service.metrics import METRICS, OTHER, Kept, Picture, expose

RECEIVED, REDACTIONS = "actod_messages_received_total", "actod_redactions_total"


def parsed(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    """Return what Prometheus's own client reads: {sample name: {label values: value}}."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        assert family.type in {"counter", "gauge", "histogram"}
        assert family.documentation
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            key = tuple(sample.labels.values())
            assert key not in series
            series[key] = sample.value
    return found


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_a_picture_reads_the_same_on_the_other_side(data: st.DataObject) -> None:
    picture = Picture()
    for metric in METRICS:
        if metric.kind == "histogram":
            latency = Latency()
            for seconds in data.draw(st.lists(st.floats(0, 100), max_size=5)):
                latency.took(seconds)
            picture.add_latency(metric.name, latency)
            continue
        words = st.text(max_size=5) | st.sampled_from(["a:b", "x_1", "0.5", 'quote"', "new\nline", "back\\slash"])
        for labels in data.draw(st.lists(st.tuples(*(words for _ in metric.labels)), max_size=4)):
            picture.add(metric.name, data.draw(st.integers(0, 1 << 60) | st.floats(0, 1e12)), *labels)
    found = parsed(expose(picture))
    for metric in METRICS:
        values = picture.values.get(metric.name, {})
        if metric.kind == "histogram":
            assert found[f"{metric.name}_bucket"] == {key: value for key, value in values.items() if key != ("sum",)}
            assert found[f"{metric.name}_count"] == {(): values["+Inf",]}
            assert found[f"{metric.name}_sum"] == {(): values["sum",]}
        else:
            assert found.get(metric.name, {}) == values


def test_ids_topics_and_floods_of_words_become_one_label_and_nothing_is_lost_in_the_sum() -> None:
    picture = Picture()
    for number in range(500):
        picture.add("actod_losses_total", 2, f"reason_{number}", "normal")
    for bad in ("", "uagv/v2/acme/robot-7", "ü", "a b", 'x"', "w" * 65):
        picture.add("actod_losses_total", 2, bad, "normal")
    values = picture.values["actod_losses_total"]
    assert len(values) <= 66
    assert sum(values.values()) == 2 * 506
    assert picture.sums("actod_losses_total", "reason")[OTHER] > 2 * 6
    for wrong in (("actod_no_such_total",), (RECEIVED, "label"), ("actod_losses_total",)):
        with pytest.raises(KeyError):
            picture.add(wrong[0], 1, *wrong[1:])


def test_names_follow_prometheus_and_say_what_they_keep() -> None:
    for metric in METRICS:
        assert metric.name.startswith("actod_")
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert (metric.kind == "gauge") == (metric.kept is Kept.NOW)
        assert metric.meaning.isascii()
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@given(st.lists(st.floats(0, 100), max_size=600))
@settings(max_examples=50, deadline=None)
def test_a_latency_counts_each_in_its_bucket_and_tells_the_quantiles_of_the_newest(seconds: list[float]) -> None:
    latency = Latency()
    for each in seconds:
        latency.took(each)
    assert latency.cumulative() == [sum(each <= bound for each in seconds) for bound in (*BOUNDS_SECONDS, math.inf)]
    newest = sorted(seconds[-512:])
    for share in (0.5, 0.99):
        assert latency.quantile(share) == (newest[int(len(newest) * share)] if newest else 0.0)


STEPS = st.lists(st.one_of(st.integers(1, 1000), st.sampled_from(["save", "kill", "stop"])), max_size=30)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_counters_are_exact_after_a_stop_and_at_least_after_a_kill_and_never_fall_below_what_was_saved(
    steps: list[int | str],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptCounters(Path(folder) / FILE)
        truth = saved = of_this_run = 0

        def of_run() -> Picture:
            picture, latency = Picture(), Latency()
            picture.add(RECEIVED, of_this_run)
            picture.add(REDACTIONS, of_this_run, "email")
            picture.add("actod_audit_lines_total", of_this_run)
            latency.took(0.2)
            picture.add_latency("actod_sign_seconds", latency)
            return picture

        def told() -> float:
            return kept.told(of_run()).values[RECEIVED][()]

        seen, rises = 0.0, 0.0  # what Prometheus saw last, and the sum that it makes of it: increase()
        for step in steps:
            if isinstance(step, int):
                truth, of_this_run = truth + step, of_this_run + step
            now = told()
            rises, seen = rises + (now - seen if now >= seen else now), now
            assert rises == truth
            if step in {"save", "stop"}:
                kept.save(of_run(), last=step == "stop")
                saved = kept.complete(of_run()).values[RECEIVED][()]
            if step in {"kill", "stop"}:
                kept, of_this_run = KeptCounters(Path(folder) / FILE), 0
                kept.begin()
                after = kept.complete(of_run()).values
                assert after[RECEIVED].get((), 0) == after[REDACTIONS].get(("email",), 0) == saved
                assert after["actod_audit_lines_total"][()] == 0  # the log itself counts those
                assert told() in ({seen} if step == "stop" else {seen, 0})
                seen = told()  # asked before anything comes in: a beginning at 0 is seen, and adds nothing
                if step == "stop" and "kill" not in steps:
                    assert saved == truth
                buckets = list(after["actod_sign_seconds"].values())[:-1]
                assert buckets == sorted(buckets)
        assert kept.complete(of_run()).values[RECEIVED][()] <= truth


HARM = {
    "empty": b"",
    "torn": b'{"v":1,"bounds_seconds":[0.001],"coun',
    "another thing": b"[1, 2]",
    "negative": b'{"v":1,"bounds_seconds":[],"counters":{"actod_messages_received_total":{"":-1}}}',
    "no number": b'{"v":1,"bounds_seconds":[],"counters":{"actod_messages_received_total":{"":"7"}}}',
}


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_file_is_begun_anew_and_the_log_says_so(
    tmp_path: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE).write_bytes(HARM[harm])
    kept = KeptCounters(tmp_path / FILE)
    assert "begin anew" in capsys.readouterr().out
    picture = Picture()
    picture.add(RECEIVED, 5)
    kept.save(kept.complete(picture))
    assert KeptCounters(tmp_path / FILE).complete(Picture()).values[RECEIVED] == {(): 5}
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_what_an_older_version_kept_otherwise_is_left_out_and_the_rest_taken(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(
        b'{"v":1,"bounds_seconds":[0.5],"counters":{"actod_gone_total":{"":1},"actod_messages_received_total":{"":7},'
        b'"actod_losses_total":{"queue_full":3},"actod_sign_seconds":{"0.5":1,"+Inf":2,"sum":3}}}'
    )
    assert KeptCounters(tmp_path / FILE).complete(Picture()).values == {RECEIVED: {(): 7}}
