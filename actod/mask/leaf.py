"""Reads one string to its end: field check, detectors, assignments, own detectors, then every layer it may hide in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from actod.mask import encodings
from actod.mask.assignments import assigned, cleared
from actod.mask.fields import in_field
from actod.mask.finding import MARKER, TYPES, UNREADABLE, Finding, marker, merge
from actod.mask.jsontext import CLOSING, OPENING, DoubledKeyError, json_values, reads_as_json
from actod.mask.keys import LONGEST_REMEMBERED, Hint, KeyBook
from actod.mask.normal import Positions, normalise
from actod.mask.policy import Policy
from actod.mask.secrets import whole_pem
from actod.mask.sieve import plain_bytes
from actod.mask.text import only_secrets, scan, without_markers

_FREE_TO_OPEN, _LARGEST_RATIO = 16_384, 12  # telemetry in gzip and base64 mostly opens to 3 to 10 times its length
_SHORT_ENOUGH, _NEAR = 1024, 256  # characters of a text that is looked at again, and around what is touched in a longer one


class TooMuchError(Exception):
    """A limit of size or depth was reached: the leaf cannot be vouched for."""


class LeafReader:
    """Finds everything in one string. `mask_json` and `mask_text` mask what is found inside it."""

    def __init__(
        self,
        *,
        policy: Policy,
        book: KeyBook,
        only: frozenset[str] | None,
        mask_json: Callable[[Any, int], Any],
        mask_text: Callable[[str, Hint, int], str],
        path: list[str],
    ) -> None:
        self._path = path  # where the walk stands; it keeps this list up to date
        self._marker = marker({d.name for d in policy.detectors} | TYPES | {"configured"}) if policy.detectors else MARKER
        self._policy = policy
        self._book = book
        self._only = only
        self._mask_json = mask_json
        self._mask_text = mask_text
        self.begin()

    def begin(self) -> None:
        """Start anew with what a message may cost."""
        self.opened = 0  # JSON, containers and escapes, so far: what holds one is not the same below another layer
        self._layers = 0
        self._budget = self._policy.max_leaf_bytes * 4
        self._allowance = _FREE_TO_OPEN

    def find(self, text: str, hint: Hint, depth: int) -> list[Finding]:
        """Return what is to be replaced, ordered, without overlaps. Raises TooMuchError at a limit."""
        size = len(text)
        if size > LONGEST_REMEMBERED:  # a masker that remembers the shorter ones must come to the same end
            self._budget -= size
            if not self._layers:
                self._allowance += _LARGEST_RATIO * size
        if size > self._policy.max_leaf_bytes or self._budget < 0:
            raise TooMuchError
        if "-----" in text and not hint.kind and not self._policy.detectors and (key := whole_pem(text)):
            return [key]
        opened = self._whole_json(text, hint, depth)
        if opened and opened[0].replacement is not None:
            return opened  # what stands in it was masked on the way
        view, positions = (text, None) if text.isascii() else normalise(text)
        found = self._in_view(view, hint)
        if found and positions is not None:
            found = [_mapped(f, positions) for f in found]
        if found and text[:1] in "{[" and reads_as_json(text):  # its members are looked at one by one, with their keys
            found = [f for f in found if f.rule == "own" or (f.start == 0 and f.end == len(text))]
        whole = len(found) == 1 and found[0].start == 0 and found[0].end == size
        if not whole:
            known = found if self._only is None else only_secrets(found)
            found = known + self._in_layers(text, view, positions, hint, depth, opened, known)
        return merge(found if self._only is None else only_secrets(found))

    def find_again(self, text: str, hint: Hint, *, near: list[int] | None) -> list[Finding]:
        """Look at what is left of a text in which something was found, of a long one only near some places."""
        if near is None or hint.kind or len(text) <= _SHORT_ENOUGH:
            return self._find_again(text, hint)
        found: list[Finding] = []
        for start, end in _surroundings(near):
            found.extend(
                f._replace(start=f.start + start, end=f.end + start) for f in self._find_again(text[start:end], hint)
            )
        return found

    def _find_again(self, text: str, hint: Hint) -> list[Finding]:
        """Look once more. What a text holds was opened at the first look."""
        view, positions = (text, None) if text.isascii() else normalise(text)
        found = [_mapped(f, positions) for f in self._in_view(view, hint)]
        found.extend(self._flat_views(view, positions, hint, encodings.LAYERS.seen(plain_bytes(view))))
        if plain := encodings.inline_view(text):
            inner, inside = normalise(plain[0])
            found.extend(_mapped(_mapped(f, inside), plain[1]) for f in self._in_view(inner, hint))
        return merge(found if self._only is None else only_secrets(found))

    def _in_view(self, view: str, hint: Hint) -> list[Finding]:
        found: list[Finding] = []
        if hint.kind:
            found = in_field(hint.kind, view)
        if not found:
            found = scan(view, hint, all_types=self._only is None)
            if found:
                found = cleared(view, found, self._book)
            if "=" in view or ":" in view or "</" in view or "->" in view or "\n" in view:
                self._add_assigned(view, found)
        for detector in self._policy.detectors:
            if detector.reaches(self._path):
                found.extend(Finding(s, e, detector.name, "own", 0.9) for s, e in detector.spans(view))
        found = without_markers(view, found, self._marker)
        if found and hint.kind and (told := in_field(hint.kind, _blanked(view, found))):
            # What is left beside the findings is what the key says: the whole field goes, and not only at a second look.
            return [told[0]._replace(start=0, end=len(view))]
        return found

    def _add_assigned(self, view: str, found: list[Finding]) -> None:
        for start, end, hint in assigned(view, self._book):
            value = view[start:end]
            found.extend(f._replace(start=f.start + start, end=f.end + start) for f in in_field(hint.kind, value))

    # --- layers

    def _whole_json(self, text: str, hint: Hint, depth: int) -> list[Finding] | None:
        """Open text that is JSON from end to end before it is read as text; None where it is none, or not to be opened."""
        if text[:1] not in OPENING or text[-1:] not in CLOSING or hint.kind or self._policy.detectors:
            return None
        if self._layers >= self._policy.max_decode_depth or len(text) < 2:
            return None
        self._layers += 1
        try:
            return self._json(text, depth)
        finally:
            self._layers -= 1

    def _in_layers(
        self,
        text: str,
        view: str,
        positions: Positions,
        hint: Hint,
        depth: int,
        opened: list[Finding] | None,
        known: list[Finding],
    ) -> list[Finding]:
        seen = encodings.LAYERS.seen(plain_bytes(text))
        seen_flat = seen if view is text else encodings.LAYERS.seen(plain_bytes(view))
        if len(seen) == len(seen_flat) == 1:
            return []
        if self._layers >= self._policy.max_decode_depth:
            if self._has_layer(text):
                return [Finding(0, len(text), "unreadable", "layers", 1.0)]
            return self._flat_views(view, positions, hint, seen_flat)
        self._layers += 1
        try:
            found = opened or []
            if opened is None and encodings.JSON in seen:
                found = self._json(text, depth)
            if not found:
                found = self._containers(text, hint, depth, known) if encodings.TOKEN in seen else []
                if encodings.ESCAPE in seen:
                    found.extend(self._escaped(text, hint, depth))
                found.extend(self._flat_views(view, positions, hint, seen_flat))
            return found
        finally:
            self._layers -= 1

    def _has_layer(self, text: str) -> bool:
        """Whether there would be something to open: just what counts as `opened` where it is."""
        try:
            return bool(any(json_values(text)) or self._unpacked(text, []) or encodings.inline_view(text))
        except (DoubledKeyError, RecursionError, encodings.BrokenContainerError):
            return True

    def _json(self, text: str, depth: int) -> list[Finding]:
        """Mask JSON that is the whole text or stands in a sentence: `got {"raw": ...} from scanner`."""
        found: list[Finding] = []
        try:
            for start, end, value in json_values(text):
                found.extend(self._closed(text, start, end, value, depth))
        except DoubledKeyError:
            return [Finding(0, len(text), "unreadable", "json_doubled_key", 1.0)]
        except RecursionError:
            return [Finding(0, len(text), "unreadable", "json_depth", 1.0)]
        return found

    def _closed(self, text: str, start: int, end: int, value: Any, depth: int) -> list[Finding]:
        self.opened += 1
        masked = self._mask_json(value, depth + 1)
        if masked is value:
            return []
        plain = text[start:end]
        separators = (", ", ": ") if '": ' in plain or '", ' in plain else (",", ":")
        closed = json.dumps(masked, ensure_ascii=plain.isascii(), separators=separators)
        return [Finding(start, end, "json", "json", 1.0, closed)]

    def _unpacked(self, text: str, known: list[Finding]) -> list[encodings.Container]:
        return encodings.containers(text, known, limit_bytes=self._most_opened())

    def _most_opened(self) -> int:
        """Return to how many bytes a container may open: what a message unfolds to must not be out of all proportion."""
        return max(0, min(self._policy.max_leaf_bytes, self._allowance))

    def _containers(self, text: str, hint: Hint, depth: int, known: list[Finding]) -> list[Finding]:
        found: list[Finding] = []
        try:
            unpacked = self._unpacked(text, known)
        except encodings.BrokenContainerError as exc:
            return [Finding(exc.start, exc.end, "unreadable", "container", 1.0)]
        for container in unpacked:
            self.opened += 1
            self._allowance -= max(0, len(container.inner) - container.end + container.start)
            if self._allowance < 0:
                return [Finding(0, len(text), "unreadable", "container", 1.0)]
            inner = self._mask_text(container.inner, hint, depth + 1)
            if inner != container.inner:
                closed = encodings.close(container, inner)
                found.append(Finding(container.start, container.end, "container", container.kind, 1.0, closed))
        return found

    def _escaped(self, text: str, hint: Hint, depth: int) -> list[Finding]:
        plain = encodings.inline_view(text)
        if plain is None:
            return []
        self.opened += 1
        return [_mapped(f, plain[1]) for f in self.find(plain[0], hint, depth)] if plain[0] != text else []

    def _flat_views(self, view: str, positions: Positions, hint: Hint, seen: list[int]) -> list[Finding]:
        """Read what is set apart or spelled. Nothing can hide below that, so it counts as no layer."""
        found: list[Finding] = []
        if encodings.APART in seen:
            squeezed = encodings.squeezed_view(view)
            if squeezed is not None:
                found.extend(_mapped(_mapped(f, squeezed[1]), positions) for f in self._in_view(squeezed[0], hint))
        if encodings.SPOKEN in seen:
            spoken = encodings.spoken_view(view)
            if spoken is not None:
                inner = [_mapped(f, spoken[1]) for f in self._in_view(spoken[0], hint)]
                inner.extend(Finding(s, e, "number", "spoken", 0.5) for s, e in spoken[2])
                found.extend(_mapped(f, positions) for f in inner)
        return found


def _surroundings(places: list[int]) -> Iterator[tuple[int, int]]:
    """Yield what lies around places of a text, in order: where that of two meets, as one."""
    start, end = max(0, places[0] - _NEAR), places[0] + _NEAR
    for place in places[1:]:
        if place - _NEAR > end:
            yield start, end
            start = place - _NEAR
        end = place + _NEAR
    yield start, end


def _blanked(text: str, found: list[Finding]) -> str:
    for f in reversed(merge(list(found))):
        text = text[: f.start] + UNREADABLE + text[f.end :]
    return text


def _mapped(finding: Finding, positions: Positions) -> Finding:
    if positions is None:
        return finding
    return finding._replace(start=positions[finding.start], end=positions[finding.end])
