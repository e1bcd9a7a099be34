"""The configurations that the package brings: each environment loads, and each robot gets a name of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from actod import configfile, facts
from actod.cli.checks.registry import run_checks
from actod.errors import ConfigError
from hil.rig import ROOT

EXAMPLES = ROOT / "deploy" / "examples"


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_each_environments_example_loads_and_fits_the_units(tmp_path: Path, environment: str) -> None:
    (tmp_path / "conf.d").mkdir()
    shutil.copy(EXAMPLES / "actod.toml", tmp_path)
    shutil.copy(EXAMPLES / "conf.d" / f"50-{environment}.toml", tmp_path / "conf.d")
    config = configfile.load(tmp_path / "actod.toml")
    assert config.environment == environment
    wanted = {"configuration-valid", "configuration-secrets", "configuration-files", "limits", "masking", "device-id"}
    lines = run_checks(config, tmp_path / "actod.toml", only=wanted, offline=True)
    assert {line.id: line.level for line in lines} == dict.fromkeys(wanted, "ok")
    units = "".join((ROOT / "deploy" / "systemd" / f"{unit}.service").read_text() for unit in ("actod", "actod-signer"))
    for path in (config.control_socket, config.signer_socket):
        assert f"RuntimeDirectory={path.parent.name}\n" in units
    assert f"--socket {config.control_socket}\n" in units
    assert f"User={config.signer.daemon_user}\n" in units
    assert f"={config.token.pin_file.name}:/etc/credstore.encrypted/actod.{config.token.pin_file.name}\n" in units
    assert f"={config.collector.api_key_file.name}:/etc/actod/credentials/{config.collector.api_key_file.name}\n" in units


@pytest.mark.parametrize(("text", "fact"), [("actod-{machine_id}", "machine_id"), ("{hostname}", "hostname"), ("plain", "")])
def test_a_fact_stands_for_this_machine_and_shows_nothing_that_is_confidential(tmp_path: Path, text: str, fact: str) -> None:
    file = tmp_path / "machine-id"
    file.write_text("0123456789abcdef0123456789abcdef\n")
    filled = facts.fill_in(text, key="mqtt.client_id", file="f", machine_id_file=file)
    assert ("{" in filled, filled == text) == (False, not fact)
    if fact == "machine_id":
        assert filled == "actod-" + facts.fill_in("{machine_id}", key="k", file="f", machine_id_file=file)
        assert "0123456789abcdef" not in filled
        file.write_text("1123456789abcdef0123456789abcdef\n")
        assert filled != facts.fill_in(text, key="k", file="f", machine_id_file=file)


def test_the_machines_fact_is_what_systemd_makes_of_it() -> None:
    if not Path("/etc/machine-id").exists() or shutil.which("systemd-id128") is None:
        pytest.skip("no machine-id, or no systemd-id128")
    command = ["systemd-id128", "machine-id", f"--app-specific={facts._PROGRAM.hex()}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        pytest.skip("this machine has no id")
    assert facts.fill_in("{machine_id}", key="k", file="f") == said.stdout.strip()


@pytest.mark.parametrize("text", ["{serial}", "x{}", "{machine_id}"])
def test_a_fact_that_there_is_not_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"f: mqtt\.client_id: expected a fact of this machine: \{machine_id\} or \{hostname\}"
    ):
        facts.fill_in(text, key="mqtt.client_id", file="f", machine_id_file=tmp_path / "none")


def test_the_man_page_has_each_command() -> None:
    from actod.cli.main import _COMMANDS  # noqa: PLC0415 - the table is the root command's own

    page = (ROOT / "deploy" / "man" / "actod.8").read_text(encoding="utf-8")
    assert [name for name in _COMMANDS if f"\n.B {name}\n" not in page] == []
