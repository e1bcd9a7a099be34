"""The network gone, bad, or without names; and a clock that lies, which is where TLS breaks."""

from __future__ import annotations

import random
import time

from hil.faults.scenario import AWAY, Scenario
from hil.world import COLLECTOR, World

_ASKED_EACH = 20  # seconds; nobody can reach the robot meanwhile, so it asks itself


def _interface(world: World) -> str:
    """Return the interface on which the robot reaches this machine."""
    words = world.robot.run("ip", "-o", "route", "get", world.robot.options["host"]).stdout.split()
    return words[words.index("dev") + 1]


def down(world: World, _chance: random.Random) -> None:
    """Pull the plug. On a board the robot pulls it itself, for a while: nobody could tell it to plug in again."""
    robot = world.robot
    asking = f"for time in 1 2 3 4; do sleep {_ASKED_EACH}; runuser -u actod -- actod why | logger -t rig; done"
    robot.run("systemd-run", "-q", "sh", "-c", asking)
    if robot.vm is not None:
        robot.vm.link(up=False)
        return
    link = f"ip link set {_interface(world)}"
    robot.run("systemd-run", "-q", "--on-active=1", "sh", "-c", f"{link} down; sleep {6 * _ASKED_EACH}; {link} up")


def up(world: World, _chance: random.Random) -> None:
    """Plug in again, and find what the robot said to itself."""
    robot = world.robot
    if robot.vm is not None:
        robot.vm.link(up=True)
    robot.wait_up()
    said = robot.run("journalctl", "-t", "rig", "-o", "cat", "--no-pager", "-n", "4").stdout
    world.note(said)


def _hang_up(world: World) -> None:
    """Have the collector end its connections: who is connected asks for no name, and looks at no certificate."""
    world.site.collector.close()
    world.site.collector.start()


def _bad(*netem: str) -> Scenario:
    name = "network_lossy" if netem[0] == "loss" else "network_slow"

    def strike(world: World, _chance: random.Random) -> None:
        world.robot.run("tc", "qdisc", "replace", "dev", _interface(world), "root", "netem", *netem)

    def end(world: World, _chance: random.Random) -> None:
        world.robot.run("tc", "qdisc", "del", "dev", _interface(world), "root")

    return Scenario(name, strike, end, messages=200)


def forget_names(world: World, _chance: random.Random) -> None:
    """Take the collector's name from the robot's resolver, as a broken DNS does."""
    world.robot.run("sh", "-c", f"sed 's/ {COLLECTOR}//' /etc/hosts >/etc/hosts.new && mv /etc/hosts.new /etc/hosts")
    _hang_up(world)


def know_names(world: World, _chance: random.Random) -> None:
    """Put the names back."""
    world.name_hosts()


def _clock(name: str, date: str) -> Scenario:
    def strike(world: World, _chance: random.Random) -> None:
        world.robot.run("systemctl", "stop", "chrony")
        world.robot.run("date", "-s", date)
        _hang_up(world)

    def end(world: World, _chance: random.Random) -> None:
        world.robot.run("date", "-s", f"@{time.time():.3f}")  # a board may have no clock of its own to set it by
        world.robot.run("systemctl", "start", "chrony")

    return Scenario(name, strike, end, named=r"blocked:(clock|tls)", messages=60)


SCENARIOS = (
    # "The broker is connected." comes after it, and names nothing. It lasts until the robot was asked twice.
    Scenario(
        "network_down",
        down,
        up,
        messages=600,
        seconds=2.5 * _ASKED_EACH,
        named=rf"blocked:(network|dns)|{AWAY}",
        reachable=False,
    ),
    _bad("loss", "15%"),
    _bad("delay", "400ms", "100ms", "rate", "256kbit"),
    Scenario("dns_gone", forget_names, know_names, named=r"blocked:dns"),
    # The kernel takes no time before its own start: a day, not a minute, after the epoch.
    _clock("clock_1970", "1970-01-02 00:00:00"),
    _clock("clock_ahead", "+400 days"),
)
