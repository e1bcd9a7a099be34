"""A systemd unit as its files say: fragment and drop-ins below a root, merged as systemd.unit(5) says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_FOLDERS = (  # systemd.unit(5), the first is the strongest; `systemctl set-property` writes into the first two
    "etc/systemd/system.control", "run/systemd/system.control", "run/systemd/transient", "run/systemd/generator.early",
    "etc/systemd/system", "etc/systemd/system.attached", "run/systemd/system", "run/systemd/system.attached",
    "run/systemd/generator", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "run/systemd/generator.late",
)  # fmt: skip
_OF_UNIT = {"StartLimitIntervalSec", "StartLimitBurst"}  # of what is looked at, all else stands in [Service]
_TRUE = {"yes", "true", "on", "1"}


@dataclass(slots=True)
class Unit:
    """`settings` maps a key to its values, oldest first; an empty assignment has cleared those before it."""

    files: list[Path] = field(default_factory=list)
    settings: dict[str, list[str]] = field(default_factory=dict)

    def last(self, key: str) -> str | None:
        """Return what holds for a key with one value: "" if it is cleared, None if it is not set; a switch is yes."""
        values = self.settings.get(key)
        if values is None:
            return None
        value = values[-1] if values else ""
        return "yes" if value.lower() in _TRUE else value

    def words(self, key: str) -> list[str]:
        """Return all words of a list; behind a "~" each word has its own."""
        found: list[str] = []
        for value in self.settings.get(key, []):
            inverse = "~" if value.startswith("~") else ""
            found += [inverse + word for word in value.removeprefix("~").split()]
        return found


def read_unit(root: Path, name: str) -> Unit | None:
    """Read a unit; None if none is installed, or it is masked. Raises OSError."""
    fragments = [root / folder / name for folder in _FOLDERS if (root / folder / name).exists()]
    if not fragments or not fragments[0].read_bytes():
        return None
    words = name.removesuffix(".service").split("-")
    shorter = [f"{'-'.join(words[:count])}-.service.d" for count in range(1, len(words))]  # actod-.service.d
    drop_ins: dict[str, Path] = {}
    for below in ("service.d", *shorter, f"{name}.d"):
        for folder in reversed(_FOLDERS):
            drop_ins |= {file.name: file for file in (root / folder / below).glob("*.conf")}
    unit = Unit()
    for file in (fragments[0], *(drop_ins[word] for word in sorted(drop_ins))):
        unit.files.append(file)
        _merge(unit, file.read_text(encoding="utf-8", errors="replace"))
    return unit


def _merge(unit: Unit, text: str) -> None:
    section = ""  # a line in another one, or before the first, is one that systemd passes over
    for line in text.replace("\\\n", " ").splitlines():
        section = line.strip()[1:-1] if line.strip().startswith("[") else section
        key, equals, value = line.strip().partition("=")
        if not equals or key.startswith(("#", ";", "[")):
            continue
        if section != ("Unit" if key.strip() in _OF_UNIT else "Service"):
            continue
        values = unit.settings.setdefault(key.strip(), [])
        if value.strip():
            values.append(value.strip())
        else:
            values.clear()
