"""Operator notes and badge reads full of personal data and secrets. All of it is made up, and unique to its message."""

from __future__ import annotations

import base64
import json
import random
import string
from typing import Any

_FIRST = ("Katharina", "Bartholomew", "Guillermo", "Annegret", "Wojciech", "Philippa", "Leonardo", "Sieglinde")
_LAST = ("Quistenberg", "Ashworthy", "Villanuevas", "Oberhammer", "Kowalczewski", "Thistlewood", "Fioravanti")
_ALPHABET = string.ascii_letters + string.digits
_BASE32 = string.ascii_uppercase + "234567"


class People:
    """Makes messages, and remembers every sensitive value that was planted."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.planted: list[str] = []

    def note(self, number: int) -> tuple[str, dict[str, Any]]:
        """Make an operator's note: values in text, keys, nested lists and JSON in strings."""
        email, phone, iban = self._email(), self._phone(), self._iban()
        inner = json.dumps({"password": self._plant(self._random(18)), "retry": 3})
        return "site/notes", {
            "n": number,
            "kind": "note",
            "text": f"battery swapped at dock 4, call {phone} or write to {email}",
            "contacts": {email: {"shift": "early"}},
            "refund": [["iban", [iban]], {"card": self._card()}],
            "attachment": inner,
            "mac": self._mac(),
        }

    def badge(self, number: int) -> tuple[str, dict[str, Any]]:
        """Make a badge read: names and ids in their fields, tokens in headers."""
        first, last = self._chance.choice(_FIRST), self._chance.choice(_LAST) + self._random(4).lower()
        self._plant(last)
        return "site/access", {
            "n": number,
            "event": "badge_read",
            "reader": f"door-{number % 7}",
            "operator_name": f"{first} {last}",
            "badge_id": self._plant(f"B{self._chance.randrange(10**9, 10**10)}"),
            "api_key": self._plant(f"acto_{self._random(43)}"),
            "headers": {"Authorization": f"Bearer {self._plant(self._jwt())}"},
            "aws": self._plant("AKIA" + "".join(self._chance.choices(_BASE32, k=16))),
            "github": self._plant(f"ghp_{self._random(36)}"),
        }

    def _plant(self, value: str) -> str:
        self.planted.append(value)
        return value

    def _random(self, length: int) -> str:
        return "".join(self._chance.choices(_ALPHABET, k=length))

    def _email(self) -> str:
        return self._plant(
            f"{self._chance.choice(_FIRST).lower()}.{self._random(8).lower()}@customer-{self._random(4).lower()}.example"
        )

    def _phone(self) -> str:
        return self._plant(f"+49 151 {self._chance.randrange(10**7, 10**8)}")

    def _mac(self) -> str:
        return self._plant(":".join(f"{self._chance.randrange(256):02x}" for _ in range(6)))

    def _iban(self) -> str:
        account = f"{self._chance.randrange(10**8, 10**9)}{self._chance.randrange(10**8, 10**9)}"
        check = 98 - int(account + "131400") % 97  # DE00
        return self._plant(f"DE{check:02}{account}")

    def _card(self) -> str:
        body = f"4{self._chance.randrange(10**13, 10**14)}"
        total = 0
        for index, digit in enumerate(reversed(body)):
            value = int(digit) * (2 if index % 2 == 0 else 1)
            total += value - 9 if value > 9 else value
        return self._plant(f"{body}{-total % 10}")

    def _jwt(self) -> str:
        parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": self._random(12)}]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
        return ".".join([*encoded, self._random(43)])
