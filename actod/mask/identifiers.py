"""What an identifier may look like so that it names nobody: words of the trade, and short numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from actod.mask.keys import fold
from actod.mask.vda5050 import ACTION_TYPES, MESSAGES
from actod.mask.vocabulary import BENIGN
from actod.mask.words import GIVEN_NAMES, NOT_NAMES

_LONGEST_WORD = 64
_MOST_DIGITS, _MOST_DIGITS_IN_ALL = 6, 8
_FEWEST_PIECES, _LONGEST_PIECE = 2, 5
_SHORT, _MOST_BESIDE = 2, 3  # letters of an unknown abbreviation, and digits beside it
_IDENTIFIER = re.compile(r"_?[A-Za-z0-9][A-Za-z0-9._:/+#-]{0,127}\Z")
_SEPARATOR = re.compile(r"[._:/+#-]")
_TOKEN = re.compile(r"[A-Za-z]*[0-9]*\Z")  # between separators a word, a number, or a word and its number
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


def is_cut_up(items: list[Any]) -> bool:
    """Whether identifiers are so short that they may be the pieces of one value that is none."""
    if len(items) < _FEWEST_PIECES or any(type(item) is not str or len(item) > _LONGEST_PIECE for item in items):
        return False
    return not is_plain("".join(items))


def is_plain(text: str) -> bool:
    """Whether each part of an identifier is a word of the trade, a letter or two, or a short number."""
    if _IDENTIFIER.match(text) is None:
        return False
    if text in ACTION_TYPES or _UUID.match(text):
        return True
    if len(text) > _LONGEST_WORD or not all(map(_TOKEN.match, _SEPARATOR.split(text))):
        return False
    parts = _PARTS.findall(text)
    unknown = [part for part in parts if part.isalpha() and not _is_trade(part)]
    digits = [len(part) for part in parts if part.isdigit()]
    if not unknown:
        return max(digits, default=0) <= _MOST_DIGITS and sum(digits) <= _MOST_DIGITS_IN_ALL
    # `A-17` or `n3`; with more letters or digits it may be a number plate, a badge, a passport.
    return len(unknown) == 1 and len(unknown[0]) <= _SHORT and sum(digits) <= _MOST_BESIDE


def _is_trade(part: str) -> bool:
    word = fold(part)
    if len(word) <= _SHORT:
        return word in _TRADE
    if word in GIVEN_NAMES and word not in NOT_NAMES:
        return False
    return word in _WORDS or word.removesuffix("s") in _WORDS


def _member_names(table: Any) -> Iterator[str]:
    """Yield the names of all members in a table: their words are the trade's, too."""
    if isinstance(table, dict):
        yield from table
        for spec in table.values():
            yield from _member_names(spec)
    elif isinstance(table, list | tuple):
        for spec in table:
            yield from _member_names(spec)


_TRADE = frozenset(
    "acknowledged alignment amr approach area base battery blocked bottom buffer button calibration camera cell chain charger "
    "clearance cnv collision command corridor count cycle deck degraded derating destination detected deviation diagnostic "
    "distance dock docking driver dunnage edge element emergency encoder end epal epsg estop factory false field fine flr "
    "footprint fork frame front gate grid ground group hall header hook horizontal idle index infeed init insufficient "
    "invalid joint kiosk kinematic known lane laser layout level lidar lim limit line load localization logistics main "
    "maint maintenance map mezz mission mode motor nav navigation node none not num obstacle occluded offset ord order origin "
    "outfeed overflow park parking part path payload pilot pin point pos pose position positioning post production profile protective "
    "pump queue rack ramp range reach ready rear reference reflector route safe safety scanner segment seq sequence side site "
    "slot slow sort source speed staging standby start station stn stuck supported sys system target task temp temperature "
    "tilt timeout top tote tower tracking traffic transfer transport true tsk turn undefined unit unknown unreachable "
    "validation value var vertical via virtual wait warehouse wheel wp waypoint wrapper yard zone zoneset".split()
)

_WORDS = _TRADE | NOT_NAMES | BENIGN | {fold(word) for name in _member_names(MESSAGES) for word in _PARTS.findall(name)}
