"""The pages for operators say what the code does; their commands run in tests/docs."""

from __future__ import annotations

import re
import tomllib

from actod.config import AlertConfig, AwsConfig, FleetConfig, VaultConfig
from actod.service.alerts import ALERTS, QUIET_SECONDS
from actod.submit.ages import LIMIT_DAYS
from actod.submit.pins import parse_pins
from actod.submit.pinset import Operators
from hil.rig import ROOT

PINS = (ROOT / "docs" / "pins.md").read_text(encoding="utf-8")
ALERT_PAGE = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
CREDENTIALS = (ROOT / "docs" / "credentials.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_configuration_on_the_page_of_pins_is_one() -> None:
    tables = [tomllib.loads(text) for text in blocks(PINS, "toml")]
    assert len(parse_pins(tables[0]["collector"]["pins"])) == 2
    pin_set = tables[1]["collector"]["pin_set"]
    assert len(Operators.parse(pin_set["keys"], pin_set["threshold"]).keys) == 3


def test_the_pages_name_the_reasons_and_days_of_the_code() -> None:
    code = "".join((ROOT / "actod" / "submit" / name).read_text() for name in ("pinset.py", "pins.py", "verdict.py"))
    named = set(re.findall(r"`(pins_\w+)`", PINS)) - {"pins_report_only_until"}
    assert named
    assert [reason for reason in named if f'"{reason}"' not in code] == []
    prod, other = LIMIT_DAYS["prod"], LIMIT_DAYS["dev"]
    assert f"After {prod * 8 // 10} days in prod, and {other * 8 // 10} elsewhere" in CREDENTIALS.replace("\n", " ")
    assert f"after {prod} and {other} again" in CREDENTIALS.replace("\n", " ")


def test_the_page_of_alerts_names_each_of_them_and_its_configuration_is_one() -> None:
    named = {word for row in re.findall(r"^\| (`.*?) \|", ALERT_PAGE, re.MULTILINE) for word in re.findall(r"`(\w+)`", row)}
    assert named == ALERTS - {"test"}
    for table in tomllib.loads(blocks(ALERT_PAGE, "toml")[0])["alerts"]:
        AlertConfig(**table)
    assert QUIET_SECONDS == 15 * 60


def test_the_stores_on_the_page_of_credentials_are_configuration() -> None:
    table = tomllib.loads(blocks(CREDENTIALS, "toml")[0])
    assert len(VaultConfig(**table["vault"]).fetch) == 2
    assert len(AwsConfig(**table["aws"]).fetch) == 1


def test_the_page_of_fleet_health_shows_the_defaults() -> None:
    table = tomllib.loads(blocks((ROOT / "docs" / "fleet.md").read_text(encoding="utf-8"), "toml")[0])["fleet"]
    own = {"api_key_file": table["api_key_file"], "battery_route": table["battery_route"]}
    assert FleetConfig(**table) == FleetConfig(**own)
