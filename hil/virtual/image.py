"""The virtual robot's disk: Debian with systemd, journald and a kernel that drives a TPM, cached by its recipe's digest.

It holds what an operator's robot holds before actod is installed: the package's dependencies, the TPM's library and tools,
a clock that is set over the network, an SSH server. It needs root, mmdebstrap and e2fsprogs; no loop device.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hil.rig import ROOT
from hil.virtual.architecture import ARCHITECTURES, Architecture, programs_run

_IMAGES = ROOT / ".cache" / "hil" / "images"
_DISK_BYTES = 2 << 30
RELEASE = "bookworm"
_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "udev", "kmod", "iproute2", "nftables", "procps", "e2fsprogs"),
    *("openssh-server", "ca-certificates", "chrony", "mosquitto", "dmsetup", "util-linux-extra"),
    *("man-db", "python3", "python3-systemd", "libtpm2-pkcs11-1", "libtpm2-pkcs11-tools", "tpm2-tools", "tpm-udev"),
    *("libtss2-tcti-device0", "opensc", "linux-image-cloud-{name}", "initramfs-tools", "zstd"),
)
# Each of these costs a boot seconds, or starts by itself in the middle of a test.
_MASKED = (
    *("systemd-networkd-wait-online.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"),
    *("e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "serial-getty@{console}.service", "getty@tty1.service"),
    *("mosquitto.service", "systemd-pstore.service", "man-db.timer"),
)
_HOST, _ROBOT, _RESOLVER = "10.0.2.2", "10.0.2.15", "10.0.2.3"  # QEMU's user network
_FILES = {
    "etc/hostname": "robot-1\n",
    "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 robot-1\n{_HOST} broker.example collector.example time.example\n",
    "etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n/dev/vdb none swap x-systemd.makefs,nofail 0 0\n",
    "etc/resolv.conf": f"nameserver {_RESOLVER}\noptions timeout:2 attempts:1\n",
    "etc/systemd/network/10-robot.network": (
        f"[Match]\nType=ether\n[Network]\nAddress={_ROBOT}/24\nGateway={_HOST}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    ),
    "etc/initramfs-tools/conf.d/robot": "MODULES=list\nCOMPRESS=zstd\n",
    "etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n",
    "etc/systemd/journald.conf.d/robot.conf": "[Journal]\nStorage=persistent\n",
    "etc/ssh/sshd_config.d/robot.conf": "PermitRootLogin prohibit-password\nUseDNS no\nMaxSessions 50\n",
    "etc/systemd/system.conf.d/robot.conf": "[Manager]\nDefaultTimeoutStartSec=300\n",  # software emulation is slow
    "var/lib/systemd/linger/.keep": "",
}


@dataclass(frozen=True)
class Image:
    """A disk image with its kernel, and the key that opens its SSH server."""

    folder: Path
    architecture: Architecture

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"

    @property
    def key_file(self) -> Path:
        return self.folder / "ssh-key"


def digest(architecture: str = "amd64") -> str:
    """Name the recipe: what is in the image, and how it is made."""
    packages, masked = (_named(one, ARCHITECTURES[architecture]) for one in (_PACKAGES, _MASKED))
    recipe = json.dumps([RELEASE, packages, masked, _FILES, _DISK_BYTES, _SETTLE], sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _named(names: tuple[str, ...], architecture: Architecture) -> list[str]:
    """Write the architecture's names into the recipe."""
    return [name.format(name=architecture.name, console=architecture.console) for name in names]


def image(architecture: str = "amd64") -> Image:
    """Return the image of this recipe, made on first use: two minutes, seven for a processor that is not this machine's."""
    made = Image(_IMAGES / f"{RELEASE}-{digest(architecture)}", ARCHITECTURES[architecture])
    if not made.folder.exists():
        missing = [tool for tool in ("mmdebstrap", "mke2fs", "ssh-keygen") if shutil.which(tool) is None]
        if missing:
            raise FileNotFoundError(f"{', '.join(missing)} missing: hil/setup installs what the rig needs")
        with programs_run(made.architecture):
            _make(made)
    return made


_SETTLE = """set -eu
cd "$1"
ln -sf /dev/null etc/systemd/system/tmp.mount
mkdir -p var/log/journal root/.ssh
chmod 700 root/.ssh
: >etc/machine-id
rm -f etc/mosquitto/conf.d/default.conf
chroot . systemctl -q enable systemd-networkd.service ssh.service chrony.service
chroot . update-initramfs -u
rm -rf var/cache/apt/archives/*.deb var/lib/apt/lists/* usr/share/locale usr/share/doc/*/changelog*
"""


def _make(made: Image) -> None:
    new = made.folder.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rig", "-f", str(new / "ssh-key")], check=True)
    root, settings, settle = new / "root", new / "settings", new / "settle"
    for name, text in _FILES.items():
        file = settings / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="ascii")
    settle.write_text(_SETTLE, encoding="ascii")
    command = ["mmdebstrap", "-q", "--mode=root", "--variant=minbase", f"--architectures={made.architecture.name}"]
    command += [f"--include={','.join(_named(_PACKAGES, made.architecture))}"]
    command += [f"--customize-hook=cp -r {settings}/. $1/", f"--customize-hook=sh {settle} $1"]
    command += [f"--customize-hook=install -D -m 600 {new}/ssh-key.pub $1/root/.ssh/authorized_keys"]
    command += [
        f"--customize-hook=ln -sf /dev/null $1/etc/systemd/system/{unit}" for unit in _named(_MASKED, made.architecture)
    ]
    subprocess.run([*command, RELEASE, str(root)], check=True)
    for source, target in (("vmlinuz", "vmlinuz"), ("initrd.img", "initrd.img")):
        shutil.copy((root / source).resolve() if not (root / source).is_symlink() else _linked(root, source), new / target)
    with (new / "disk.img").open("wb") as disk:
        disk.truncate(_DISK_BYTES)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(new / "disk.img")], check=True)
    for folder in (root, settings):
        shutil.rmtree(folder)
    new.rename(made.folder)


def _linked(root: Path, name: str) -> Path:
    """Follow a link of the image's root as the image would."""
    return root / str((root / name).readlink()).lstrip("/")


if __name__ == "__main__":
    print(image(*sys.argv[1:]).folder)
