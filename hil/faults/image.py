"""A card put back to an earlier image of itself, and a copy of a card in another robot: two lives of one device.

The robot cannot find out that its whole disk was put back (docs/guarantees.md): the collector's bundles show it, as a
fork. The account holds each life by itself, and demands that both together are called a fork.
"""

from __future__ import annotations

import shutil
from random import Random
from typing import Any

from hil.faults.scenario import Scenario
from hil.world import AS_ACTOD, World

_OTHER_CARD = "card-2"
_PIN, _DROP_IN = "/root/pin", "/etc/systemd/system/actod-signer.service.d/clone.conf"
_PLAIN_PIN = f"[Service]\nLoadCredentialEncrypted=\nLoadCredential=token-pin:{_PIN}\n"
_NO_CREDENTIAL = "243"  # systemd's exit status of a unit whose credential cannot be opened


class Restored:
    """An image is taken, the robot lives on, and the image is put back; the chip stays as it is.

    `delivered`: what was acknowledged between the two has reached the collector first, and nothing may be lost. If not, the
    collector is away meanwhile: exactly what was acknowledged between the two is gone with the disk, and nothing else.
    """

    def __init__(self, *, delivered: bool) -> None:
        self._delivered = delivered
        self._known: set[str] = set()
        self._begin = 0

    def take(self, world: World, _chance: Random) -> None:
        """Take the power, copy the disk, and let the robot live on."""
        robot, collector = world.robot, world.site.collector
        assert robot.vm is not None
        robot.power_off()
        robot.vm.take_image(world.folder / "image.qcow2")
        world.tally.refresh()
        self._known, self._begin = set(world.tally.acknowledged), collector.count()
        if not self._delivered:
            collector.close()
        robot.power_on()

    def put_back(self, world: World, _chance: Random) -> None:
        """Take the power, put the image back, and start."""
        robot, site = world.robot, world.site
        assert robot.vm is not None
        if self._delivered:
            world.broker.stop()  # nothing comes any more, so all that came can leave
            try:
                site.wait(lambda: not world.tally.waiting(), seconds=60, what="that nothing is owed")
                site.wait(lambda: not site.queue()["outbox_bundles"], seconds=30, what="an empty outbox")
            except TimeoutError:
                world.broker.start()
                raise
        robot.power_off()
        robot.vm.put_back(world.folder / "image.qcow2")
        if self._delivered:
            site.overwritten.append(range(self._begin, site.collector.count()))
            world.broker.start()
        else:
            world.tally.refresh()
            world.write_off("image put back", world.tally.acknowledged - self._known)
            site.collector.start()
        robot.power_on()
        undone = site.overwritten[-1] if self._delivered else world.gone["image put back"]
        assert undone, "nothing happened between the image and its being put back"


class Cloned:
    """A copy of the card runs in another robot, with another chip. Then the first robot goes on with its own."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._boot = self._card = ""
        self._epoch = 0

    def copy(self, world: World, _chance: Random) -> None:
        """Start the copy in the other robot, whose chip cannot open the PIN. Then give it the PIN: a thief might know it."""
        robot, site = world.robot, world.site
        assert robot.vm is not None
        robot.power_off()
        world.tally.refresh()
        self._known = set(world.tally.acknowledged)
        self._epoch = max(envelope["payload"]["meta"]["actod"]["epoch"] for envelope in site.collector.envelopes())
        robot.vm.keep(world.folder / "original")
        robot.vm.new_tpm()
        self._card, robot.vm.card = robot.vm.card, _OTHER_CARD
        robot.power_on()
        self._boot = robot.run("cat", "/proc/sys/kernel/random/boot_id").stdout.strip()
        site.wait(
            lambda: robot.shows("actod-signer", "ExecMainStatus") == _NO_CREDENTIAL,
            seconds=30,
            what="a signer whose credential the other chip does not open",
        )
        robot.write(_PIN, site.pin, mode=0o600)
        robot.write(_DROP_IN, _PLAIN_PIN)
        robot.run("systemctl", "daemon-reload")
        robot.run("systemctl", "restart", "actod-signer")
        asked = ("journalctl", "-b", "-u", "actod-signer", "-o", "cat", "--no-pager")
        site.wait(
            lambda: "The token does not sign." in robot.run(*asked).stdout,
            seconds=60,
            what="a chip that does not know the key, whoever has the PIN",
        )

    def end(self, world: World, _chance: Random) -> None:
        """Switch the copy off, and the first robot on with its own card and chip; then see what the copy said and did."""
        robot, site = world.robot, world.site
        assert robot.vm is not None
        shown = robot.run(*AS_ACTOD, "actod", "audit", "show", "--event", "store.host_changed", "--json").stdout
        robot.power_off()
        world.tally.refresh()
        world.write_off("acknowledged by a clone", world.tally.acknowledged - self._known)
        signed = sum(self._is_copys(envelope) for envelope in site.collector.envelopes())
        robot.vm.begin_as(world.folder / "original")
        shutil.rmtree(world.folder / "original")
        robot.vm.card = self._card
        robot.power_on()
        assert not signed, f"{signed} bundles were signed by the copy"
        assert '"medium"' in shown, f"the copy does not say that its card is another: {shown}"
        assert world.gone["acknowledged by a clone"], "the copy collected nothing"

    def _is_copys(self, envelope: dict[str, Any]) -> bool:
        """Whether the copy signed it: what the first robot had sealed, the copy may well deliver."""
        part = envelope["payload"]["meta"]["actod"]
        return part["epoch"] > self._epoch or part["boot_id"] == self._boot


_RESTORED, _UNSENT, _CLONED = Restored(delivered=True), Restored(delivered=False), Cloned()

SCENARIOS = (
    Scenario("image_restored", _RESTORED.take, _RESTORED.put_back, virtual=True),
    Scenario("image_restored_unsent", _UNSENT.take, _UNSENT.put_back, named=r"blocked:network", virtual=True),
    Scenario("card_cloned", _CLONED.copy, _CLONED.end, named=r"sealing waits for (the )?token", virtual=True),
)
