"""labgrid's driver of the virtual robot: its power switch, and what only a virtual robot can be told.

It chooses the port at which the robot's SSH server is reached, and lays its key where the environment file names it.
"""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol

from hil.virtual.architecture import ARCHITECTURES
from hil.virtual.image import image
from hil.virtual.vm import Vm


@target_factory.reg_driver
@attr.s(eq=False)
class VirtualRobotDriver(Driver, PowerProtocol):
    """Power of a robot in QEMU. `folder` holds its disk and its TPM, `key_file` is where its SSH key is laid."""

    bindings = {"network": "NetworkService"}  # noqa: RUF012 - labgrid's own form
    folder = attr.ib(validator=attr.validators.instance_of(str))
    key_file = attr.ib(validator=attr.validators.instance_of(str), default="../.cache/hil/ssh-key")
    architecture = attr.ib(validator=attr.validators.in_(ARCHITECTURES), default="amd64")
    memory_mib = attr.ib(default=768, validator=attr.validators.instance_of(int))

    def on_activate(self) -> None:
        made = image(self.architecture)
        folder, key_file = (Path(self.target.env.config.resolve_path(name)) for name in (self.folder, self.key_file))
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made.key_file, key_file)
        key_file.chmod(0o600)
        self._taken = folder.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"{folder}: another run has its robot there") from None
        shutil.rmtree(folder, ignore_errors=True)  # a robot of each run's own
        self.vm = Vm(folder, made, memory_mib=self.memory_mib)
        self.network.port = self.vm.ssh_port

    def on_deactivate(self) -> None:
        self.vm.cut()
        self._taken.close()

    @Driver.check_active
    def on(self) -> None:
        if not self.vm.running():
            self.vm.start()

    @Driver.check_active
    def off(self) -> None:
        self.vm.cut()

    @Driver.check_active
    def cycle(self) -> None:
        self.off()
        self.on()
