"""Operators' notes, badge readers and careless configuration dumps: messages that are full of what must be masked."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from hil.robot.planted import Planter

Note = tuple[str, dict[str, Any]]  # topic, payload


class Notes:
    """Makes notes: personal data in values, keys, nested lists, strings of JSON, numbers and topics."""

    def __init__(self, *, chance: random.Random, planter: Planter) -> None:
        self._chance, self._planter = chance, planter
        self._kinds: tuple[Callable[[], Note], ...] = (
            self._operator_note,
            self._badge_read,
            self._in_keys,
            self._in_lists,
            self._in_json_strings,
            self._credentials,
            self._log_line,
            self._payment,
            self._in_topic,
            self._harmless,
        )

    def make(self) -> Note:
        """Make the next note."""
        return self._chance.choice(self._kinds)()

    def remark(self) -> tuple[str, str]:
        """Make what an operator leaves in a VDA 5050 state: an address and a text."""
        return self._planter.email(), f"please call {self._planter.phone()} before restart"

    def fault_text(self) -> str:
        """Make the description of an error, once in a while with somebody's address in it."""
        if self._chance.random() < 0.3:
            return f"blocked, reported to {self._planter.email()}"
        return self._chance.choice(["lidar contaminated", "wheel slip on ramp", "scanner muted", "load not detected"])

    def _operator_note(self) -> Note:
        p = self._planter
        make: Callable[[], str] = self._chance.choice(
            [
                lambda: f"Gabel klemmt, Rückruf unter {p.phone()} oder {p.email()}",
                lambda: f"shift handover done, mail to {p.email()}, spare tablet {p.mac()}",
                lambda: f"Kunde zahlt per {p.iban()}, Rückfragen Tel. {p.phone()}",
            ]
        )
        return "robot/7/notes", {"kind": "note", "operator_name": p.name(), "text": make(), "shift": 2}

    def _badge_read(self) -> Note:
        p, door = self._planter, self._chance.randint(1, 40)
        first, family = p.person()
        person = {"first_name": first, "last_name": family, "email": p.email(), "phone": p.phone()}
        payload = {
            "event": "badge_read",
            "reader": f"door-{door}",
            "granted": True,
            "badge_holder": p.name(),
            "employee": person,
        }
        return f"site/hall{self._chance.randint(1, 4)}/access", payload

    def _in_keys(self) -> Note:
        p = self._planter
        payload = {"logins": {p.email(): {"count": 3}}, "seen": {p.mac(): {"rssi": -61}, p.github(): {"count": 1}}}
        return "site/network/stations", payload

    def _in_lists(self) -> Note:
        p = self._planter
        return "site/contacts", {
            "rows": [[["mail", p.email()], ["Tel.", p.phone()]], [[[p.iban()]], {"devices": [p.mac()]}]]
        }

    def _in_json_strings(self) -> Note:
        p = self._planter
        inner = json.dumps({"password": p.password(), "iban": p.iban(), "user": {"email": p.email()}})
        twice = json.dumps({"log": json.dumps({"api_key": p.acto(), "contact": p.email()})}, ensure_ascii=False)
        return "site/gateway/raw", {"raw": inner, "nested": twice}

    def _credentials(self) -> Note:
        p = self._planter
        wifi = {"ssid": "plant", "password": p.password(), "bssid": p.mac()}
        cloud = {"aws_access_key_id": p.aws_id(), "aws_secret_access_key": p.aws_secret(), "slack_token": p.slack()}
        return "robot/7/config", {"wifi": wifi, "cloud": cloud, "collector": {"api_key": p.acto()}, "version": "4.2.1"}

    def _log_line(self) -> Note:
        p = self._planter
        make: Callable[[], str] = self._chance.choice(
            [
                lambda: f"GET /v1/jobs Authorization: Bearer {p.jwt()} 200",
                lambda: f"login failed for {p.email()} password={p.password()}",
                lambda: f"git pull https://x-token:{p.github()}@git.example/fleet.git",
                lambda: f"notify {p.slack()} from {p.mac()}",
            ]
        )
        return "robot/7/log", {"level": "info", "line": make()}

    def _payment(self) -> Note:
        p = self._planter
        payload = {
            "event": "vending",
            "card_number": int(p.card()),
            "receipt": f"Karte {p.grouped_card()} gültig",
            "iban": p.iban(),
        }
        return "site/canteen/till", payload

    def _in_topic(self) -> Note:
        return f"site/visitors/{self._planter.email()}", {"event": "arrived", "gate": self._chance.randint(1, 3)}

    def _harmless(self) -> Note:
        return "robot/7/notes", {"kind": "note", "text": "Batterie bei 43 Prozent, weiter mit Halle 3", "shift": 1}
