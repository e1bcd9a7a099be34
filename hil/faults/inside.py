"""A broker on the robot, as docs/topology.md has it, and a power cut that takes both: what it loses is told apart.

Its store is a disk of its own. What lies there is the broker's; what actod acknowledged is actod's, wherever it came from.
"""

from __future__ import annotations

import contextlib
import shlex
from random import Random

from hil.faults.scenario import Scenario
from hil.rig import ROOT
from hil.robotbroker import RobotBroker
from hil.world import BROKER, World

_STORE, _DISK = "/var/lib/mosquitto", "/dev/vdc"
_SETTINGS, _CONFIGURATION = "/etc/actod/conf.d/97-broker.toml", "/etc/mosquitto/conf.d/actod.conf"
_DROP_IN = "/etc/systemd/system/mosquitto.service.d/rig.conf"
# What it holds in memory is not to be found in the swap and taken for actod's.
_UNIT = f"[Unit]\nRequiresMountsFor={_STORE}\n[Service]\nMemorySwapMax=0\n"
_MESSAGES = 60


class BrokerInside:
    """actod is given a broker on the robot; the power goes while the robot's software publishes to it."""

    def __init__(self) -> None:
        self._ends = contextlib.ExitStack()

    def cut(self, world: World, chance: Random) -> None:
        """Start the broker, point actod to it by a drop-in, publish, and take the power and give it back meanwhile."""
        robot, site = world.robot, world.site
        assert robot.vm is not None
        self._set_up(world)
        inside = self._ends.enter_context(
            RobotBroker.around(
                port=robot.vm.broker_port,
                listen=robot.options["listen"],
                certificate=site.authority.issue("broker-inside", san=[BROKER]),
                folder=world.folder / "inside",
                seed=chance.randrange(1 << 30),
                envelopes=site.collector.envelopes,
            )
        )
        world.inside = inside
        robot.write(_SETTINGS, f"[mqtt]\nport = {inside.witness.port}\n")
        robot.run("systemctl", "restart", "actod")
        site.wait(inside.witness.subscribed, seconds=30, what="actod at the broker on the robot")
        inside.sender.start()
        site.wait(lambda: inside.sender.sent >= _MESSAGES, seconds=60, what="messages to the broker on the robot")
        before = inside.witness.connections
        robot.power_off()
        robot.power_on()
        site.wait(lambda: inside.witness.connections > before, seconds=60, what="actod at the broker on the robot, again")

    def _set_up(self, world: World) -> None:
        """Give mosquitto the disk, and what deploy/mosquitto/robot.conf says; the rig's hands reach it from outside."""
        robot = world.robot
        shipped = (ROOT / "deploy/mosquitto/robot.conf").read_text(encoding="utf-8").partition("# The bridge.")[0]
        robot.write(_CONFIGURATION, shipped.replace("listener 1883 127.0.0.1", "listener 1883"))
        robot.write(_DROP_IN, _UNIT)
        mount = f"{_DISK} {_STORE} ext4 nofail 0 0"
        robot.run("mkfs.ext4", "-qF", _DISK)
        robot.run("sh", "-c", f"echo {shlex.quote(mount)} >>/etc/fstab && systemctl daemon-reload && mount {_STORE}")
        robot.run(
            "sh", "-c", f"chown mosquitto: {_STORE}; systemctl unmask -q mosquitto; systemctl enable -q mosquitto; sync"
        )
        robot.run("systemctl", "start", "mosquitto")

    def end(self, world: World, _chance: Random) -> None:
        """Let everything that the broker still has reach actod, and actod's own the collector; then put all back."""
        robot, inside = world.robot, world.inside
        assert inside is not None
        with self._ends:
            try:
                self._let_arrive(world, inside)
            finally:  # actod would look for a broker where soon there is none
                world.canaries += inside.sender.canaries()
                robot.remove(_SETTINGS)
                robot.run("systemctl", "restart", "actod")
        robot.run("systemctl", "disable", "--now", "-q", "mosquitto")
        robot.run("sh", "-c", f"umount {_STORE}; sed -i '\\,^{_DISK},d' /etc/fstab; systemctl mask -q mosquitto; sync")

    def _let_arrive(self, world: World, inside: RobotBroker) -> None:
        site, sent = world.site, inside.sender.sent
        site.wait(lambda: inside.sender.sent >= sent + _MESSAGES, seconds=60, what="messages after the power cut")
        inside.sender.end()
        last = max(inside.sender.confirmed(), key=lambda name: int(name[1:]))
        site.wait(lambda: last in inside.tally.arrived | inside.lost(), seconds=60, what="the last message at actod")
        site.wait(lambda: not inside.lost(), seconds=60, what="what actod acknowledged at the collector")
        world.note(f"a broker on the robot: {inside.figures()}")


_INSIDE = BrokerInside()

SCENARIOS = (Scenario("broker_inside", _INSIDE.cut, _INSIDE.end, messages=0, virtual=True),)
