"""The installed package in short: `python -m hil.smoke --target hil/virtual-arm64.yaml`. The first step that fails ends it.

Install, load every native module, provision the token, start, check, collect, sign, submit; then an account of all that was
published, drawn up from outside. It is for a kind of processor that the campaign does not run on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

from labgrid import Environment

from hil import acceptance, account
from hil.acceptance import say
from hil.ordeal import Ordeal
from hil.rig import wait_for
from hil.target import Robot, environment_file, robot_of
from hil.verdict import summary
from hil.virtual.architecture import ARCHITECTURES
from hil.world import World

_PYTHON = "/usr/lib/actod/bin/python3"
# Imports each compiled module that the package brings, and Debian's; prints the path of each file.
_LOAD = """
import importlib, json, pathlib, sys
site = next(pathlib.Path(place) for place in sys.path if place.startswith("/usr/lib/actod/"))
names = [".".join([*file.relative_to(site).parent.parts, file.name.split(".")[0]]) for file in site.rglob("*.so")]
print(json.dumps({name: importlib.import_module(name).__file__ for name in [*names, "systemd._journal", "systemd._daemon"]}))
"""
_WANTED = {
    "_cffi_backend",
    "blake3.blake3",
    "nacl._sodium",
    "orjson.orjson",
    "pkcs11._pkcs11",
    "re2._re2",
    "systemd._journal",
}
_LONGEST_SECONDS = 1200.0


def processor(robot: Robot) -> None:
    """Hold what the kernel says of its processor against what the environment file says."""
    machine = robot.run("uname", "-m").stdout.strip()
    assert machine == ARCHITECTURES[robot.options["architecture"]].machine
    say("switched on", machine=machine, boot_seconds=round(robot.boots[-1], 1), is_a=repr(robot.describe()))


def whole(robot: Robot) -> None:
    """Have dpkg find nothing half done and nothing changed, and load every native module."""
    for question in (("--audit",), ("--verify", "actod")):
        said = robot.run("dpkg", *question)
        assert (said.stdout, said.stderr) == ("", ""), said.stdout + said.stderr
    version, architecture, *state = robot.run(
        "dpkg-query", "-W", "-f", "${Version} ${Architecture} ${Status}", "actod"
    ).stdout.split()
    assert (architecture, state) == (robot.options["architecture"], ["install", "ok", "installed"])
    loaded = json.loads(robot.run(_PYTHON, "-I", "-c", _LOAD).stdout)
    assert set(loaded) >= _WANTED, loaded
    machine = ARCHITECTURES[architecture].machine
    assert all(f"{machine}-linux-gnu" in file or ".abi3." in file for file in loaded.values()), loaded
    say("whole, and every native module loads", version=version, modules=",".join(sorted(loaded)))


def collect(world: World, *, messages: int, rate: float) -> None:
    """Put it under traffic, and account for all of it: acknowledged, arrived, verified, and no canary anywhere."""
    with Ordeal.begun(world, seed=1, rate=rate, seconds=_LONGEST_SECONDS) as ordeal:
        traffic, tally = ordeal.traffic, world.tally
        wait_for(lambda: traffic.published_count() >= messages, seconds=_LONGEST_SECONDS, what=f"{messages} messages")
        ordeal.close()
        published = traffic.published()
        wait_for(lambda: not tally.waiting() and published <= tally.arrived, seconds=300, what="all that was published")
        assert published <= tally.acknowledged
        drawn = account.draw_up(world, twice_published=traffic.repeated())
        account.search(world, drawn, canaries=traffic.canaries())
    assert drawn.problems() == [], drawn.problems()
    say("collects, signs and submits", published=len(published), **summary(drawn))


def main() -> int:
    """Go through all steps on one robot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=environment_file, default="hil/virtual-arm64.yaml", help="an environment file")
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--rate", type=float, default=10.0, help="messages a second, on average")
    options = parser.parse_args()
    began = time.monotonic()
    environment = Environment(options.target)
    robot = robot_of(environment)
    with contextlib.ExitStack() as stack:
        stack.callback(environment.cleanup)
        robot.power_on()
        processor(robot)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="actod-smoke-")))
        world = stack.enter_context(World.around(robot, folder))
        world.listen()
        try:
            acceptance.install(world.site)
            whole(robot)
            acceptance.provision(world.site)
            world.configure()
            acceptance.start(world.site)
            world.enrol()
            acceptance.check(world.site, fails={"disk-encryption"})
            collect(world, messages=options.messages, rate=options.rate)
        except BaseException:
            if robot.vm is None or robot.vm.running():
                print(robot.run("journalctl", "-n", "60", "--no-pager", check=False).stdout, file=sys.stderr)
            raise
    kind = "simulated, not a board" if robot.vm is not None else "a board"
    print(f"smoke: all steps hold on {robot.options['architecture']} ({kind}), {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
