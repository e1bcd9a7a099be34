"""As much of PKCS#11 as it takes to make a token: the tools for it want PINs in their arguments, where all can read."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_INITIALISED = 0x400  # CKF_TOKEN_INITIALIZED; CKF_USER_PIN_INITIALIZED is set by tpm2-pkcs11 before there is a PIN
_SERIAL_RW_SESSION, _SECURITY_OFFICER = 0x6, 0
_ALREADY_INITIALISED = 0x191
_LABEL_BYTES = 32


class _TokenInfo(ctypes.Structure):
    _fields_ = (
        ("label", ctypes.c_ubyte * _LABEL_BYTES),
        ("names", ctypes.c_ubyte * 64),  # manufacturer, model, serial
        ("flags", ctypes.c_ulong),
        ("limits", ctypes.c_ulong * 10),
        ("versions", ctypes.c_ubyte * 4),
        ("time", ctypes.c_ubyte * 16),
    )


class TokenError(Exception):
    """A call was refused, with its CKR code."""


@dataclass(frozen=True)
class Token:
    """What a slot holds."""

    slot: int
    label: str
    initialised: bool


class Module:
    """A PKCS#11 library, initialised. Its settings are in the environment before it is loaded."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._call("C_Initialize", None, allowed=_ALREADY_INITIALISED)

    def tokens(self) -> Iterator[Token]:
        """Yield each slot's token, uninitialised ones too."""
        count = ctypes.c_ulong()
        self._call("C_GetSlotList", ctypes.c_ubyte(1), None, ctypes.byref(count))
        slots = (ctypes.c_ulong * count.value)()
        self._call("C_GetSlotList", ctypes.c_ubyte(1), slots, ctypes.byref(count))
        for slot in slots:
            info = _TokenInfo()
            self._call("C_GetTokenInfo", ctypes.c_ulong(slot), ctypes.byref(info))
            label = bytes(info.label).decode("utf-8", "replace").rstrip("\0 ")
            yield Token(slot, label, bool(info.flags & _INITIALISED))

    def make(self, label: str, *, pin: bytes, so_pin: bytes) -> None:
        """Initialise a free slot's token, if that is not done yet, and give it its PIN, which may be done again."""
        if self._find(label) is None:
            free = next((token for token in self.tokens() if not token.initialised), None)
            if free is None:
                raise TokenError("there is no free slot")
            padded = label.encode().ljust(_LABEL_BYTES)
            self._call("C_InitToken", ctypes.c_ulong(free.slot), so_pin, ctypes.c_ulong(len(so_pin)), padded)
        token = self._find(label)
        if token is None:
            raise TokenError("the token that was made is not there")
        self._give_pin(token.slot, pin=pin, so_pin=so_pin)

    def _find(self, label: str) -> Token | None:
        return next((token for token in self.tokens() if token.initialised and token.label == label), None)

    def _give_pin(self, slot: int, *, pin: bytes, so_pin: bytes) -> None:
        session = ctypes.c_ulong()
        flags = ctypes.c_ulong(_SERIAL_RW_SESSION)
        self._call("C_OpenSession", ctypes.c_ulong(slot), flags, None, None, ctypes.byref(session))
        try:
            officer = ctypes.c_ulong(_SECURITY_OFFICER)
            self._call("C_Login", session, officer, so_pin, ctypes.c_ulong(len(so_pin)))
            self._call("C_InitPIN", session, pin, ctypes.c_ulong(len(pin)))
        finally:
            self._call("C_CloseSession", session)

    def _call(self, name: str, *arguments: object, allowed: int = 0) -> None:
        function = getattr(self._library, name)
        function.restype = ctypes.c_ulong
        code = function(*arguments)
        if code not in {0, allowed}:
            raise TokenError(f"{name} gives CKR {code:#x}")
