"""What a collector, and what stands before it, does to a robot."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping
from typing import Any

from hil.faults.scenario import Act, Scenario
from hil.parts.certificates import Certificate
from hil.world import COLLECTOR, World


def down(world: World, _chance: random.Random) -> None:
    """End the collector's process."""
    world.site.collector.close()


def up(world: World, _chance: random.Random) -> None:
    """Start it again; it knows what it had."""
    world.site.collector.start()


def _answers(*faults: Mapping[str, Any]) -> Act:
    def strike(world: World, chance: random.Random) -> None:
        world.site.collector.set_faults([{**fault, "seed": chance.randrange(1 << 30)} for fault in faults])

    return strike


def well(world: World, _chance: random.Random) -> None:
    """Let it answer as it should."""
    world.site.collector.set_faults([])


def well_again(world: World, chance: random.Random) -> None:
    """Let it answer as it should, once it has lost an answer: a bundle may be long in coming."""
    struck = world.site.collector.stats
    try:
        world.site.wait(lambda: struck()["struck"].get("lost_response"), seconds=60, what="an answer that was lost")
    finally:
        well(world, chance)


def _begin_anew(world: World, certificate: Certificate) -> None:
    """Start the collector with this certificate: who is connected would not look at it."""
    collector = world.site.collector
    collector.close()
    collector.certificate = certificate
    collector.start()


def rotate(world: World, _chance: random.Random) -> None:
    """Serve a new certificate of the same CA, as is done every few weeks."""
    _begin_anew(world, world.site.authority.issue(f"collector-{secrets.token_hex(4)}", san=[COLLECTOR]))


def impersonate(world: World, _chance: random.Random) -> None:
    """Serve a certificate of another CA that the robot trusts as well, and that no pin names."""
    _begin_anew(world, world.stranger.issue(f"collector-{secrets.token_hex(4)}", san=[COLLECTOR]))


def refuse_key(world: World, _chance: random.Random) -> None:
    """Take another API key from now on."""
    world.retired_keys.append(world.site.api_key)
    world.site.api_key = "acto_" + secrets.token_urlsafe(32)
    world.site.collector.take_keys(world.site.api_key)


def rotate_key(world: World, _chance: random.Random) -> None:
    """Do what docs/credentials.md says of a credential of systemd's: replace its file, and restart."""
    text = f"{world.site.api_key}\nfor prod {COLLECTOR}\n"
    world.robot.write("/etc/actod/credentials/api-key", text, mode=0o600)
    world.robot.run("systemctl", "restart", "actod")


SCENARIOS = (
    Scenario("collector_down", down, up, named=r"blocked:network"),
    Scenario(
        "collector_500_and_reset",
        _answers({"kind": "rate_limit", "per_second": 0.05, "burst": 1}),
        well,
        named=r"slow:server",
    ),
    Scenario("collector_400_for_all", _answers({"kind": "status", "status": 400}), well, named=r"blocked:rejected-all"),
    Scenario("collector_loses_answers", _answers({"kind": "lost_response", "p": 0.5}), well_again, messages=100),
    Scenario("captive_portal", _answers({"kind": "portal", "status": 302}), well, named=r"blocked:network \(captive_portal"),
    Scenario("certificate_rotated", rotate, messages=50),
    Scenario("pin_mismatch", impersonate, rotate, named=r"blocked:pin"),
    Scenario("api_key_rotated", refuse_key, rotate_key, named=r"blocked:auth"),
)
