"""Made-up personal data and secrets, each value unique: what the scan looks for later. All chance is seeded.

Check digits are right, since a masker may demand them. The mail domains are reserved by RFC 2606: no value is anybody's.
"""

from __future__ import annotations

import base64
import json
import random
import string

_FIRST = (
    *("Katrin", "Jürgen", "Małgorzata", "Óscar", "Fatima", "Søren", "Giulia", "Léa", "Tomasz", "Ayşe", "Dimitri", "Chloé"),
    *("Hannah", "Björn", "Inês", "Zsófia", "Mehmet", "Anneliese", "Patrick", "Vojtěch", "Siobhán", "Marisol", "Günther"),
)
_SYLLABLES = (
    ("Ober", "Nieder", "Kirch", "Wald", "Stein", "Linden", "Roten", "Schwarz", "Hohen", "Grün", "Eichen", "Brunn", "Mitter"),
    ("hof", "bach", "feld", "moos", "berg", "winkel", "rain", "gruben", "leitner", "thal", "brück"),
    ("ski", "mann", "huber", "maier", "sen", "dottir", "ova", "inger", "etti", "quist", "ecker", "lander"),
)
_DOMAINS = ("example.org", "example.com", "mail.example.net", "werk.example")
_URLSAFE = string.ascii_letters + string.digits + "-_"
_ALPHANUMERIC = string.ascii_letters + string.digits
_IBANS = {"DE": 18, "AT": 16, "ES": 20, "PL": 24}
_CARDS = (("4", 16), ("51", 16), ("55", 16), ("34", 15), ("37", 15))
_ASCII = str.maketrans("üéóøłşěńźáöäãõçíê", "ueoolsenzaoaaocie")


class Planter:
    """Makes values. What was made since the last `take` is in `planted`, as it was written and in its other spellings."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._seen: set[str] = set()
        self.planted: list[str] = []

    def take(self) -> tuple[str, ...]:
        """Hand over what was planted since the last call."""
        taken, self.planted = tuple(self.planted), []
        return taken

    def name(self) -> str:
        """Make a person's full name; the family name alone must not be found either."""
        return self._keep(" ".join(self.person()))

    def person(self) -> tuple[str, str]:
        """Make a first name, which many bear, and a family name, which nobody else does."""
        while True:
            family = "".join(self._chance.choice(part) for part in _SYLLABLES)
            if family in self._seen:
                family += "-" + "".join(self._chance.choice(part) for part in _SYLLABLES)
            if family not in self._seen:
                break
        return self._chance.choice(_FIRST), self._keep(family)

    def email(self) -> str:
        """Make a mail address."""
        first = self._chance.choice(_FIRST).lower().translate(_ASCII)
        local = f"{first}.{self._digits(5)}{self._letters(5)}"
        self._keep(local)
        return self._keep(f"{local}@{self._chance.choice(_DOMAINS)}")

    def phone(self) -> str:
        """Make a phone number in an international form."""
        country = self._chance.choice(["+49 15{}", "+43 66{}", "+48 50{}", "+34 61{}", "0049 17{}"])
        number = self._digits(9)
        return self._keep(country.format(f"{number[0]} {number[1:5]} {number[5:]}"))

    def iban(self) -> str:
        """Make an IBAN whose check digits are right, in groups of four or in one piece."""
        country = self._chance.choice(sorted(_IBANS))
        account = self._digits(_IBANS[country])
        check = 98 - int(account + "".join(str(ord(letter) - 55) for letter in country) + "00") % 97
        compact = f"{country}{check:02d}{account}"
        self._keep(account)
        grouped = " ".join(compact[at : at + 4] for at in range(0, len(compact), 4))
        return self._keep(self._chance.choice([compact, grouped]))

    def card(self) -> str:
        """Make a payment card's number that passes Luhn, digits only."""
        prefix, length = self._chance.choice(_CARDS)
        digits = prefix + self._digits(length - len(prefix) - 1)
        total = 0
        for index, digit in enumerate(reversed(digits)):
            value = int(digit) * (2 if index % 2 == 0 else 1)
            total += value - 9 if value > 9 else value
        return self._keep(digits + str(-total % 10))

    def grouped_card(self) -> str:
        """Make a card number in groups of four."""
        digits = self.card()
        return self._keep(" ".join(digits[at : at + 4] for at in range(0, len(digits), 4)))

    def mac(self) -> str:
        """Make a MAC address, with colons, hyphens or as Cisco writes it."""
        octets = [
            f"{self._chance.choice([0x00, 0x3C, 0xA4, 0xDC]):02x}",
            *(f"{self._chance.getrandbits(8):02x}" for _ in range(5)),
        ]
        dotted = ".".join("".join(octets[at : at + 2]) for at in (0, 2, 4))
        return self._keep(self._chance.choice([":".join(octets), "-".join(octets).upper(), dotted]))

    def aws_id(self) -> str:
        """Make an AWS access key id."""
        return self._keep("AK" + "IA" + self._letters(16, string.ascii_uppercase + "234567"))

    def aws_secret(self) -> str:
        """Make an AWS secret key."""
        return self._keep(self._letters(40, _ALPHANUMERIC + "+/"))

    def github(self) -> str:
        """Make a GitHub token."""
        return self._keep("gh" + "p_" + self._letters(36))

    def slack(self) -> str:
        """Make a Slack token."""
        return self._keep(f"xo{'xb'}-{self._digits(12)}-{self._digits(12)}-{self._letters(24)}")

    def acto(self) -> str:
        """Make a key of the collector's own kind."""
        return self._keep("acto_" + self._letters(43, _URLSAFE))

    def password(self) -> str:
        """Make a password that no pattern shows: only its key or the words before it do."""
        return self._keep(self._letters(6) + self._chance.choice("!$%?") + self._letters(6) + self._digits(2))

    def jwt(self) -> str:
        """Make a JSON web token; its signature alone must not be found either."""
        parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": self._letters(12), "iat": 1760000000}]
        texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        signature = self._keep(self._letters(43, _URLSAFE))
        return self._keep(".".join([*texts, signature]))

    def _keep(self, value: str) -> str:
        self._seen.add(value)
        self.planted.append(value)
        return value

    def _digits(self, count: int) -> str:
        return self._letters(count, string.digits)

    def _letters(self, count: int, alphabet: str = _ALPHANUMERIC) -> str:
        return "".join(self._chance.choice(alphabet) for _ in range(count))
