"""Names in scripts without capitals: by honorifics, surnames, and the words of another script around them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from actod.mask.finding import MARKER, Finding
from actod.mask.keys import fold
from actod.mask.vocabulary import WORDS
from actod.mask.words import SURNAME_ENDINGS_CJK

_CJK_RUN = re.compile(
    r"[\u3005\u4e00-\u9fff\u3040-\u30ff]+(?:[ \u3000・][\u3005\u4e00-\u9fff\u3040-\u30ff]+)*|[\uac00-\ud7af]{2,4}(?: [\uac00-\ud7af]{1,3})?"
)
_CJK = re.compile(r"[\u3005\u4e00-\u9fff\u3040-\u30ff\uac00-\ud7af]")
_CJK_HONORIFIC = re.compile(
    r"([\u3005\u4e00-\u9fff\u3040-\u30ff]{1,8}?(?:[ \u3000][\u3005\u4e00-\u9fff\u3040-\u30ff]{1,6})?)\s?(?:さん|様|氏|先生|くん|ちゃん|殿|先輩|部長|課長|係長)|([\uac00-\ud7af]{2,4})\s?(?:님|씨|과장|부장|대리|사원|기사)"
)
_CASELESS = re.compile(r"[\u0590-\u0eff]")
_CASELESS_RUN = re.compile(r"[\u0590-\u0eff]+(?:[ ’'-][\u0590-\u0eff]+){0,4}")
_KATAKANA_WORD = re.compile(r"[\u30a0-\u30ff]+\Z")
_LABEL_AFTER = re.compile(r"[\s#]{0,2}(?:[0-9:=：]|<[A-Z])")


def caseless_names(text: str) -> Iterator[Finding]:
    """In Latin text, a few words of a script without capitals (Hebrew, Arabic, Indic, Thai) are most likely a name."""
    if not _CASELESS.search(text):
        return
    runs = [m for m in _CASELESS_RUN.finditer(text) if not _LABEL_AFTER.match(text, m.end()) and fold(m[0]) not in WORDS]
    if sum(len(m[0]) for m in runs) < sum(ch.isascii() and ch.isalpha() for ch in text):
        for m in runs:
            if len(m[0]) > 2:
                yield Finding(m.start(), m.end(), "person", "name_caseless", 0.6)


def cjk_names(text: str) -> Iterator[Finding]:
    """Find names in Chinese, Japanese and Korean."""
    if not _CJK.search(text):
        return
    for m in _CJK_HONORIFIC.finditer(text):
        group = 1 if m[1] else 2
        yield Finding(m.start(group), m.end(group), "person", "name_honorific", 0.8)
    foreign = sum(1 for ch in text if _CJK.match(ch))
    latin = sum(1 for ch in (MARKER.sub("", text) if "<" in text else text) if ch.isascii() and ch.isalpha())
    for m in _CJK_RUN.finditer(text):
        run = m[0]
        if not 2 <= len(run) <= 12:
            continue
        if _cjk_like_name(run, foreign=latin > foreign or run == text):
            yield Finding(m.start(), m.end(), "person", "name_cjk", 0.7)


_HANGUL_GIVEN = frozenset(
    "가강건경관광교구국권규균근기길나남다단담대덕도동두라란람래련령례록린림만명모묘무문미민범병보복봄봉빈상서석선설섭성세소솔송수숙순숭슬승시식신아안양애언여연열영예"
    "옥온완용우욱운웅원위유윤율은을의이익인일자장재정제조종주준중지진찬창채천철청초춘충치태택하학한해헌혁현형혜호홍화환회효훈휘희"
)
_KANJI_GIVEN_LONGEST = 3
_PLACE_ENDS = frozenset("駅市区町村県府都棟号線階室側機庫場店部課中済時分秒年月日数値率量型式番")


def _cjk_like_name(run: str, *, foreign: bool) -> bool:
    """Whether a run without an honorific reads as surname and given name; words of the language mostly do not."""
    if "\uac00" <= run[0] <= "\ud7af":
        return foreign and len(run) == 3 and run.startswith(SURNAME_ENDINGS_CJK) and set(run[1:]) <= _HANGUL_GIVEN
    head, _, given = run.replace("\u3000", " ").replace("・", " ").partition(" ")
    if _KATAKANA_WORD.match(head):
        return False
    if given:
        return head in SURNAME_ENDINGS_CJK and len(given) <= _KANJI_GIVEN_LONGEST + 1
    names = [
        name for name in SURNAME_ENDINGS_CJK if run.startswith(name) and 1 <= len(run) - len(name) <= _KANJI_GIVEN_LONGEST
    ]
    if not names or run[-1] in _PLACE_ENDS:
        return False
    return foreign or (3 <= len(run) <= 6 and max(map(len, names)) > 1)
