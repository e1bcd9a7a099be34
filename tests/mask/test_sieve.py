"""The sieves: what most detectors never see holds nothing for them, whatever a message says."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actod.config import DetectorConfig
from actod.mask import encodings, text
from actod.mask.engine import PolicyMasker
from actod.mask.normal import normalise
from actod.mask.sieve import Sieve, Signs, plain_bytes, sign_of
from tests.fuzz.mutate import mutator, swap_bytes
from tests.fuzz.words import LAYERS, TEXTS
from tests.mask.parts import masker
from tests.mask.test_properties import HOSTILE

PII = Path(__file__).parents[1] / "pii"
DETECTORS: tuple[Sieve, ...] = (*text.SIEVES, text.PROSE)
SIEVES: tuple[Signs, ...] = (*DETECTORS, encodings.LAYERS)
PROFILES = ("balanced", "secrets-only")
OWN = [DetectorConfig(name="bay", pattern=r"bay \d+|WB-\d{4}"), DetectorConfig(name="aim", pattern="[a-z]{3}", keys=["x"])]

# One at least for each detector.
EXAMPLES = (
    *(
        "jo.doe@example.org",
        "4111 1111 1111 1111",
        "3782 822463 10005",
        "378282246310005",
        "+49 (151) 12345678",
        "(+49 1511234567",
    ),
    *("0044 20 7946 0958", "00442079460958", "1 (206) 555-0134", "1-206-555-0134", "(0151) 1234567", "030/12345678"),
    *("06.84.36.39.03", "0684.363.9035", "07911123456", "612 345 678", "342 123 4567", "98212 34567", "612 34 56 78"),
    *("11 91234-5678", "010-1234-5678", "call me on 15112345678", "Reach him at no. 1511 234 5678"),
    *(
        "rssmra85t10a562s",
        "RSSMRA85T10A562S",
        "RSS MRA 85T10 A562S",
        "123-45-6789",
        "123 45 6789",
        "AB 12 34 56 C",
        "AB123456 C",
    ),
    *(
        "86 095 742 719",
        "1 85 05 78 006 084 91",
        "185057800608491",
        "12.345.678-Z",
        "X1234567L",
        "1112.22.333",
        "111.222.333",
    ),
    *("529.982.247-25", "2345 6789 0124", "DE89 3704 0044 0532 0130 00", "IP-10-0-3-17", "WIFI:T:WPA;S:a;P:hunter22x;;"),
    *("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "172.30.53.76", "a4:c3:f0:85:ac:2d", "a4c3.f085.ac2d"),
    *("mac a4:c3:f0:ff:fe:85:ac:2d", "2001:db8:1::8a2e:370:7334", "2001:db8:0:0:1:0:0:1"),
    *("ghp_" + "a1B2" * 9, "hf_" + "a1B2" * 9, "tgp_v1_" + "a1B2" * 9, "npm_" + "a1B2" * 9, "dckr_pat_" + "a1B2" * 9),
    *("AC" + "0a1b" * 8, "key-" + "0a1b" * 8, "12345678:AA" + "a1B2" * 8, "https://hooks.slack.com/services/T0000/B0000"),
    *("a.webhook.office.com/webhookb2/0123456789abcdef", "M" + "a1B2" * 6 + ".abcdef." + "a1B2" * 8),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "rtsp://admin:hunter22x@camera.local/s",
        "https://x.example/cb?sig=8UsW8pD0Q6qaWE7UjYq",
    ),
    *("https://x.example/?x-amz-security-token=8UsW8pD0Q6qaWE7UjYq", "a=1;Pwd = hunter22x;b=2"),
    *("curl -u jo:hunter22 x", "sshpass -p hunter22x ssh", "mysql -u root -phunter22", "mosquitto_pub -u x -P hunter22"),
    *("login jo/hunter22x", "Accès avec jo/hunter22x", "přihlášení jo / hunter22x", "giriş: jo/hunter22x"),
    *("Bearer Zx81kQ2mmP0yT7bb", "token token=Zx81kQ2mmP0yT7bb", 'ApiKey: "Zx81kQ2mmP0yT7bb"'),
    *(
        "Länge: 13.404954",
        "lat=52.520008",
        "52.520008, 13.404954",
        "52.520008° N 13.404954° E",
        "N 52.520008",
        "52° 31' 12 N",
    ),
    *(
        "52 deg 31 min 12 N",
        "4807.038,N,01131.000,E",
        "8FVC9G8F+6X",
        "8fvc9g8f+6x",
        "32U MB 1234 5678",
        "32U 691875 5335993",
    ),
    *(
        "POINT Z (13.404954 52.520008)",
        "User jo.doe logged in",
        "session opened for user jo",
        "password for invalid user jo from",
    ),
    *(
        "Jane Roe",
        "DR. ROE",
        "JANE ROE",
        "Émile Zola",
        "Иван Петров",
        "佐藤さん",
        "spoke to 田中太郎 at dock",
        "replaced by ललित दास at dock",
    ),
    *(
        "12 Baker Street",
        "12a, High St.",
        "Bert-Mans-Straße 9958",
        "Stationsweg 4",
        "rue de la Paix 12",
        "Área Verde 5",
        "Kossuth Lajos utca 5",
    ),
    *(
        "Atatürk Caddesi No: 5",
        "H. No. 12-A, Ring",
        "12/34 Nehru Nagar",
        "Tuškanac 5c, 79630 Hvar",
        "Ermou 15, 105 63 Athens",
    ),
    *("customer lives at Kamenárska 366", "deliver to Tuškanac 5", "東京都千代田区丸の内1-9-1", "born on 1980-03-12"),
    *("jo dot doe at example dot org", "jo [ät] example [dot] org", "Sim Lim Sq 1, 188504 X"),
)
_ODD = (" ", "  ", "\t", "\x0b", "\x1c", "?", "\u00e9", "\u0436", ".", "-", "/", ":", "=", "(", "9", "a", "Z", "_", "")


@contextmanager
def _blind() -> Iterator[None]:
    """Let RE2 see nothing, as where its memory is too small: then nothing is ruled out."""
    with pytest.MonkeyPatch.context() as patch:
        for sieve in SIEVES:
            patch.setattr(sieve, "_match", lambda _: [])
        yield


def _variants(example: str) -> Iterator[str]:
    yield from (example, example.upper(), example.lower())
    for turn, odd in enumerate(_ODD):
        yield from (odd + example, example + odd, example.replace(" ", odd))
        yield from (example[:at] + odd + example[at + 1 :] for at in range(turn % 6, len(example), 6))


def test_a_detector_finds_nothing_where_its_sign_does_not_stand() -> None:
    found: set[tuple[int, int]] = set()
    views = {normalise(variant)[0] for example in EXAMPLES for variant in _variants(example)}
    for view in views:
        raw = plain_bytes(view)
        for sieve in DETECTORS:
            rest = set(range(len(sieve.detectors))).difference(sieve.seen(raw))
            assert not [(number, view) for number in rest if any(sieve.detectors[number](view))]
    for example in EXAMPLES:
        view = normalise(example)[0]
        for which, sieve in enumerate(DETECTORS):
            found.update((which, number) for number, look in enumerate(sieve.detectors) if any(look(view)))
    assert found == {(which, number) for which, sieve in enumerate(DETECTORS) for number in range(len(sieve.detectors))}


def _masked(one: PolicyMasker, value: Any, profile: str) -> Any:
    masked, _, counts = one.mask_value(value, profile=profile)
    return masked, dict(counts)


def _assert_nothing_is_missed(values: list[Any], profile: str, **config: Any) -> None:
    sieved, blind = masker(**config), masker(**config)
    with _blind():
        expected = [_masked(blind, value, profile) for value in values]
    for value, (masked, counts) in zip(values, expected, strict=True):
        assert _masked(sieved, value, profile) == (masked, counts), value


def _messages(corpus: Path, every: int) -> list[Any]:
    lines = gzip.decompress((corpus / "corpus.jsonl.gz").read_bytes()).splitlines()
    return [orjson.loads(line)["payload"] for line in lines[::every]]


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_of_the_corpora_is_missed(profile: str) -> None:
    _assert_nothing_is_missed([*_messages(PII, 12), *_messages(PII / "second", 8)], profile)


@pytest.mark.parametrize("config", [{}, {"detectors": OWN}], ids=["ours", "own"])
def test_nothing_is_missed_of_texts_that_detectors_know_cut_mixed_and_wrapped(config: dict[str, Any]) -> None:
    draw = random.Random(11)  # noqa: S311 - repeatable
    mutate = mutator("message", swap_bytes(draw))
    values: list[Any] = []
    for _ in range(250):
        data = b"0t/x\n" + orjson.dumps({draw.choice(("note", "x", "phone")): draw.choice((*TEXTS, *HOSTILE))})
        for _ in range(draw.choice((1, 2, 3))):
            data = mutate(data, 2000, draw.getrandbits(32))
        try:
            values.append(orjson.loads(data.partition(b"\n")[2]))
        except orjson.JSONDecodeError:
            values.append({"note": data.decode("utf-8", "replace")})
    _assert_nothing_is_missed(values, "balanced", **config)


_SIGNS = " ?.,:;-_/+=@#%&<>()[]{}'\"\\\n\t\x0b\x1c\u00e9\u00b0\u0130\u2013\u00a0\u200b\u4e2d\u0661"
_piece = st.one_of(st.sampled_from(sorted(TEXTS)), st.text("019aAnNsSzZ" + _SIGNS, max_size=12), st.text(max_size=6))
_cut = st.tuples(_piece, st.integers(0, 12), st.integers(1, 40)).map(lambda cut: cut[0][cut[1] : cut[1] + cut[2]])


@given(pieces=st.lists(st.one_of(_piece, _cut), min_size=1, max_size=5), layer=st.sampled_from([str, *LAYERS]))
@settings(derandomize=True, deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_is_missed_of_any_text(pieces: list[str], layer: Any) -> None:
    _assert_nothing_is_missed([{"note": "".join(pieces)}, {"note": layer("".join(pieces))}], "balanced")


def test_every_detector_looks_where_re2_lacks_the_memory_to_say_which_may_rest() -> None:
    looks = [lambda _: [], lambda _: []]
    sieve = Sieve(("a", looks[0]), ("[^a]b", looks[1]))
    assert list(sieve.looks(b"xyz")) == []
    assert list(sieve.looks(b"cba")) == looks
    sieve._match = lambda _: []
    assert list(sieve.looks(b"xyz")) == looks


@pytest.mark.parametrize(
    ("pattern", "holds", "holds_not"),
    [
        (r"(?<![\w.])[0-9]{3}(?!\w|[./-][0-9])", ("123", "x 123", "\u00e9123 ", "123-4"), ("x123", ".123", "1234", "12")),
        (r"(?<![0-9])([ -]?)12\1(?!3)", ("12", "-12 ", "123"), ("012",)),
        (r"a\sb", ("a b", "a\x0bb", "a\x1cb", "a\u2003b"), ("ab",)),
    ],
)
def test_a_sign_is_never_narrower_than_the_pattern_it_comes_from(
    pattern: str, holds: tuple[str, ...], holds_not: tuple[str, ...]
) -> None:
    signs = Signs(sign_of(pattern))
    assert all(0 in signs.seen(plain_bytes(text)) for text in holds)
    assert not any(0 in signs.seen(plain_bytes(text)) for text in holds_not)
