"""The trust file: which keys an operator enrolled for which device, and which operators may adopt a new one. Pure.

    {"actod_trust": 1,
     "devices": [{"device": "d-1", "keys": [{"ed25519": ..., "public": ..., "p256": ..., "kind": "sealed"}]}],
     "operators": [{"ed25519": ..., "public": ...}]}

`ed25519` and `p256` are RFC 7638 thumbprints, `public` is the raw Ed25519 key in base64url. A device that is null enrols its
keys before the device has drawn its id; they speak for no device that is named. A member `report` may stand beside these:
what provisioning says of the machine, for people. That a key lives in a chip rests on whoever wrote the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from actod.errors import RejectedError
from actod.model import JsonObject
from actod.proof import thumbprint
from actod.proof.statements import Key, decode

VERSION = 1
_FORM = "trust_form"


@dataclass(frozen=True, slots=True)
class Trust:
    """Enrolled keys by device (None: a device whose id was not known yet), and operators by their raw key in base64url."""

    devices: Mapping[str | None, tuple[Key, ...]] = field(default_factory=dict)
    operators: frozenset[str] = frozenset()

    def keys(self, device: str) -> tuple[Key, ...]:
        """Return the keys with which a device may begin: its own; of one that no file names, those without a device."""
        return self.devices.get(device) or self.devices.get(None, ())

    @property
    def file(self) -> JsonObject:
        """Return the content of a trust file."""
        return {
            "actod_trust": VERSION,
            "devices": [{"device": device, "keys": [asdict(key) for key in keys]} for device, keys in self.devices.items()],
            "operators": [operator(public) for public in sorted(self.operators)],
        }


def operator(public: str) -> JsonObject:
    """Return what a trust file says of an operator's key. Raises RejectedError."""
    raw = decode(public, 32)
    if raw is None:
        raise RejectedError(_FORM, "an operator's key is 32 bytes in base64url")
    return {"ed25519": thumbprint.ed25519(raw), "public": public}


def read(values: Iterable[Any]) -> Trust:
    """Join the contents of trust files. Raises RejectedError("trust_form") with what is wrong."""
    devices: dict[str | None, tuple[Key, ...]] = {}
    operators: set[str] = set()
    for value in values:
        if not isinstance(value, dict) or value.keys() - {"report"} != {"actod_trust", "devices", "operators"}:
            raise RejectedError(_FORM, "a trust file has actod_trust, devices and operators")
        if value["actod_trust"] != VERSION:
            raise RejectedError(_FORM, f"expected version {VERSION}")
        try:
            for entry in value["devices"]:
                device, keys = entry["device"], tuple(Key.read(key) for key in entry["keys"])
                if not isinstance(device, str | None):
                    raise RejectedError(_FORM, "a device is text or null")
                devices[device] = devices.get(device, ()) + tuple(key for key in keys if key not in devices.get(device, ()))
            for entry in value["operators"]:
                if operator(entry["public"]) != entry:
                    raise RejectedError(_FORM, "an operator's thumbprint is not that of its key")
                operators.add(entry["public"])
        except (KeyError, TypeError, AttributeError) as exc:
            raise RejectedError(_FORM, type(exc).__name__) from exc
    return Trust(devices, frozenset(operators))
