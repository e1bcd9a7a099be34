"""Where a value's key says nothing, what stands around it does: the members beside it, and the key above."""

from __future__ import annotations

from typing import Any

from actod.mask.keys import DATE_PARTS, Hint, KeyBook, fold

_NAMING = frozenset(("key", "name", "label", "referenceKey"))
_PEOPLE = frozenset(("person", "agent"))
_GEO = frozenset(("gps", "gps_weak"))
_LONGEST_WORD = 48
_SHORTEST_WIFI_KEY = 8


def neighbour_hint(book: KeyBook, members: dict[str, Any], key: str, hint: Hint, inherited: Hint) -> Hint:
    """Return what is known about members[key]. `hint` is what its key says, `inherited` what the key above says."""
    if hint.slot:
        return _in_a_slot(book, members, hint, inherited)
    kind = ""
    if hint.unsure and _is_of_a_network(book, members, members[key], inherited):
        kind = "wifi_key"
    elif inherited.kind == "dob" and fold(key) in DATE_PARTS:
        kind = "dob_part"
    elif hint.descriptor:
        # a name below `operator`
        return inherited if inherited.kind in _PEOPLE and "value" not in members else hint
    elif inherited.kind in _GEO and not hint.benign:
        kind = "gps_weak"  # what a position holds under a word that we do not know
    return book.of_kind(kind) if kind else hint


def _in_a_slot(book: KeyBook, members: dict[str, Any], hint: Hint, inherited: Hint) -> Hint:
    """Read {"key": "phone", "value": ...}."""
    for beside, value in members.items():
        if type(value) is str and len(value) <= _LONGEST_WORD and book.hint(beside).descriptor:
            told = book.hint(value)
            if told.kind or told.thing or told.version:
                return told
            if beside in _NAMING and (inherited.kind or told.benign):
                return told  # it has a name of its own, whatever stands above
    return inherited if inherited.kind else hint


def _is_of_a_network(book: KeyBook, members: dict[str, Any], value: Any, inherited: Hint) -> bool:
    return (
        type(value) is str
        and len(value) >= _SHORTEST_WIFI_KEY
        and (inherited.network or any(book.hint(beside).network for beside in members))
    )
