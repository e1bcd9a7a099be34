"""The steps of provisioning, each of which knows whether it is done, how it is done, and how it is undone.

What has to be there first comes first: the PINs are stored before the token gets them, so a kill at any moment leaves
something that the next run completes.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from machine import Machine, ProvisionError
from pkcs11 import Module

LABEL, OBJECT = "actod", "actod-ed25519"
STORE = "/var/lib/actod-token"  # StateDirectory of actod-signer.service
SECRETS, ENCRYPTED = "/etc/actod/credentials", "/etc/credstore.encrypted"
TOKENS = f"{STORE}/tokens"  # SoftHSM's
SOFTHSM_CONF = "/etc/actod/softhsm2.conf"
MADE = f"{STORE}/.made"  # the token has its PIN: tpm2-pkcs11 says so of tokens that have none yet
SNIPPET, REPORT = "/etc/actod/conf.d/40-token.toml", "/etc/actod/report.json"
SEALED = "/etc/actod/token-pin.sealed-to"  # what the stored PINs are encrypted to, whatever a later run asks for
DROP_IN = "/etc/systemd/system/actod-signer.service.d/token.conf"
UDEV_RULE = "/etc/udev/rules.d/60-actod-tpm.rules"
DEVICE = "/dev/tpmrm0"
MEANWHILE = "/run/actod-provision"  # in memory
_RULE = b'SUBSYSTEM=="tpmrm", KERNEL=="tpmrm[0-9]*", GROUP="tss", MODE="0660"\n'
_FREE_PCR = (
    23  # for applications: no firmware measures into it, so no update locks us out; systemd 252 cannot do without one
)
_PINS = ("token-so-pin", "token-pin")
_MAX_FAILURES, _RECOVERY_SECONDS = 31, 600  # an unclean stop is a failure; one is forgiven every ten minutes
_PACKAGES = {"tpm": ("libtpm2-pkcs11-1", "tpm2-tools", "tpm-udev"), "softhsm": ("softhsm2",)}
_MODULES = {"tpm": "pkcs11/libtpm2_pkcs11.so", "softhsm": "softhsm/libsofthsm2.so"}
_CONFIGURATION = """environment = "dev"
state_directory = "/nonexistent"
[token]
uri = "{uri}"
pin_file = "{folder}/pin"
[collector]
url = "https://provision.invalid"
pins = ["sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "sha256/BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="]
api_key_file = "{folder}/pin"
[[routes]]
name = "none"
topic = "none"
"""  # of what actod needs, only the token is real here: no state, and no daemon that could be asked


@dataclass(frozen=True)
class Step:
    """One step: `undo` is None where nothing is taken back (packages, the user, the chip's limits)."""

    name: str
    done: Callable[[], bool]
    do: Callable[[], None]
    undo: Callable[[], None] | None = None


def sealed_to(machine: Machine) -> str | None:
    """Return what the PINs that are stored are encrypted to, None if there are none."""
    try:
        known = machine.path(SEALED).read_text(encoding="ascii").strip()
    except FileNotFoundError:  # an older provision kept it in the report alone
        try:
            known = str(json.loads(machine.path(REPORT).read_bytes())["report"]["pin_sealed_to"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return known if any(machine.path(secret_file(name, known)).exists() for name in _PINS) else None


def secret_file(name: str, seal: str) -> str:
    """Return where a secret is stored: encrypted, or (seal file) for root's eyes."""
    return f"{SECRETS}/{name}" if seal == "file" else f"{ENCRYPTED}/actod.{name}"


@dataclass(frozen=True)
class Plan:
    """What is wanted. `kind` is tpm or softhsm, `seal` host+tpm2, tpm2, host or file, `tcti` how the TPM is reached."""

    machine: Machine
    kind: str
    seal: str
    tcti: str
    actod: str
    install: bool

    @property
    def module(self) -> Path:
        """Return the path of the token's library."""
        places = [Path("/usr/lib", triplet) for triplet in ("", "x86_64-linux-gnu", "aarch64-linux-gnu")]
        for place in places:
            if (place / _MODULES[self.kind]).exists():
                return place / _MODULES[self.kind]
        return places[-1] / _MODULES[self.kind]

    @property
    def uri(self) -> str:
        """Return token.uri."""
        return f"pkcs11:token={LABEL};object={OBJECT}?module-path={self.module}"

    @property
    def settings(self) -> dict[str, str]:
        """Return what the token's library reads from the environment."""
        if self.kind == "softhsm":
            return {"SOFTHSM2_CONF": str(self.machine.path(SOFTHSM_CONF))}
        return {"TPM2_PKCS11_STORE": str(self.machine.path(STORE)), "TPM2_PKCS11_TCTI": self.tcti}

    def steps(self) -> list[Step]:
        """Return the steps in order."""
        machine = self.machine
        tpm = self.kind == "tpm"
        return [
            Step("packages", self._has_packages, self._install),
            Step("user", machine.has_user, self._add_user),
            *([Step("access to the TPM", self._has_access, self._give_access, self._take_access)] if tpm else []),
            *([Step("limits against guessing", self._has_limits, self._set_limits)] if tpm else []),
            Step("folder of the token", self._has_folder, self._make_folder, self._remove_folder),
            Step("PINs", self._has_pins, self._store_pins, self._remove_pins),
            Step("token", self._has_token, self._make_token),
            Step("key", self._has_key, self._make_key),
            Step("settings", self._has_settings, self._write_settings, self._remove_settings),
            Step("report", self._has_report, self._write_report, lambda: machine.remove(REPORT)),
        ]

    # -- packages, user, access ---------------------------------------------------------------------------------------

    def _has_packages(self) -> bool:
        for package in _PACKAGES[self.kind]:
            try:
                state = self.machine.run(["dpkg-query", "-W", "-f", "${Status}", package])
            except ProvisionError:
                return False
            if b"ok installed" not in state:
                return False
        return True

    def _install(self) -> None:
        command = ["apt-get", "install", "-y", "--no-install-recommends", *_PACKAGES[self.kind]]
        if not self.install:
            raise ProvisionError(f"packages are missing: {' '.join(command)}")
        self.machine.run(["apt-get", "update", "-qq"])
        self.machine.run(command)

    def _add_user(self) -> None:
        home = ["--home-dir", STORE, "--shell", "/usr/sbin/nologin"]
        self.machine.run(["useradd", "--system", "--user-group", *home, self.machine.user])

    def _by_device(self) -> bool:
        return self.tcti.startswith("device:")

    def _has_access(self) -> bool:
        return not self._by_device() or (self._has_rule() and "tss" in self.machine.groups())

    def _has_rule(self) -> bool:
        """Whether some rule gives the device to tss: ours, our package's, or that of Debian's tpm-udev."""
        packaged = [Path("/usr/lib/udev/rules.d", name) for name in ("60-actod-tpm.rules", "60-tpm-udev.rules")]
        return any(rule.exists() for rule in (self.machine.path(UDEV_RULE), *packaged))

    def _give_access(self) -> None:
        device = Path(self.tcti.partition(":")[2])
        if not device.exists():
            raise ProvisionError(f"{device} is not there: enable the TPM (README.md), and start again")
        if not self._has_rule():
            self.machine.write(UDEV_RULE, _RULE, 0o644)
            self.machine.run(["udevadm", "control", "--reload"])
            self.machine.run(["udevadm", "trigger", "--subsystem-match=tpmrm"])
        self.machine.run(["usermod", "--append", "--groups", "tss", self.machine.user])

    def _take_access(self) -> None:
        self.machine.remove(UDEV_RULE)
        if self._by_device() and "tss" in self.machine.groups():
            self.machine.run(["gpasswd", "--delete", self.machine.user, "tss"])

    def _limits(self) -> tuple[int, ...]:
        said = self.machine.run(["tpm2_getcap", "-T", self.tcti, "properties-variable"]).decode()
        names = ("MAX_AUTH_FAIL", "LOCKOUT_INTERVAL", "LOCKOUT_RECOVERY")
        found = [re.search(rf"TPM2_PT_{name}: (\S+)", said) for name in names]
        return tuple(int(one[1], 0) for one in found if one)

    def _has_limits(self) -> bool:
        return shutil.which("tpm2_getcap") is not None and self._limits() == (
            _MAX_FAILURES,
            _RECOVERY_SECONDS,
            _RECOVERY_SECONDS,
        )

    def _set_limits(self) -> None:
        limits = f"-n {_MAX_FAILURES} -t {_RECOVERY_SECONDS} -l {_RECOVERY_SECONDS}".split()
        try:
            self.machine.run(["tpm2_dictionarylockout", "-T", self.tcti, "-s", *limits])
        except ProvisionError as exc:
            fix = "the TPM's lockout has a secret, or is locked: clear the TPM in the firmware, or set the limits with it"
            raise ProvisionError(f"{exc}\n{fix}") from exc

    # -- token and PINs -----------------------------------------------------------------------------------------------

    def _softhsm_conf(self) -> bytes:
        tokens = self.machine.path(TOKENS)
        return f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n".encode()

    def _has_folder(self) -> bool:
        if self.kind == "tpm":
            return self.machine.path(STORE).is_dir()
        return self.machine.path(TOKENS).is_dir() and self.machine.holds(SOFTHSM_CONF, self._softhsm_conf())

    def _make_folder(self) -> None:
        self.machine.folder(STORE, 0o700, owned=True)
        if self.kind == "softhsm":
            self.machine.folder(TOKENS, 0o700, owned=True)
            self.machine.write(SOFTHSM_CONF, self._softhsm_conf(), 0o644)

    def _remove_folder(self) -> None:
        self.machine.remove(STORE)
        self.machine.remove(SOFTHSM_CONF)

    def _has_pins(self) -> bool:
        known = sealed_to(self.machine)
        if known not in {None, self.seal}:
            raise ProvisionError(
                f"the token's PIN is sealed to {known}, and stays so: --seal {known}, or none. For a PIN that is sealed to "
                f"{self.seal} make a new token: unprovision {self.kind} --destroy-keys, then this again"
            )
        return all(self.machine.path(secret_file(name, self.seal)).exists() for name in _PINS)

    def _store_pins(self) -> None:
        self.machine.write(SEALED, self.seal.encode(), 0o644)
        self.machine.folder(SECRETS if self.seal == "file" else ENCRYPTED, 0o700, owned=False)
        for name in _PINS:
            if self.machine.path(secret_file(name, self.seal)).exists():
                continue  # a kill came between the two
            secret = secrets.token_urlsafe(24).encode()
            if self.seal == "file":
                self.machine.write(secret_file(name, self.seal), secret, 0o400)
            else:
                command = ["systemd-creds", "encrypt", *self._keys(), f"--name={name}", "-", "-"]
                self.machine.write(secret_file(name, self.seal), self.machine.run(command, given=secret), 0o600)

    def _remove_pins(self) -> None:
        self.machine.remove(MEANWHILE)
        for name in _PINS:
            for seal in ("file", self.seal):
                self.machine.remove(secret_file(name, seal))
        self.machine.remove(SEALED)

    def _keys(self) -> list[str]:
        """Name the keys: `auto` leaves the TPM out on machines without UEFI. See _FREE_PCR."""
        chip = (
            [f"--tpm2-device={self.tcti if not self._by_device() else 'auto'}", f"--tpm2-pcrs={_FREE_PCR}"]
            if "tpm2" in self.seal
            else []
        )
        return [f"--with-key={self.seal}", *chip]

    def secret(self, name: str) -> bytes:
        """Return a stored secret."""
        path = self.machine.path(secret_file(name, self.seal))
        if self.seal == "file":
            return path.read_bytes()
        device = [self._keys()[1]] if "tpm2" in self.seal else []
        return self.machine.run(["systemd-creds", "decrypt", *device, f"--name={name}", str(path), "-"])

    def _has_token(self) -> bool:
        def look() -> list[str]:
            return [token.label for token in Module(self.module).tokens() if token.initialised]

        return self.machine.path(MADE).exists() and LABEL in self.machine.in_child(look)

    def _make_token(self) -> None:
        pin, so_pin = self.secret("token-pin"), self.secret("token-so-pin")
        self.machine.in_child(lambda: Module(self.module).make(LABEL, pin=pin, so_pin=so_pin))
        self.machine.write(MADE, b"", 0o644)

    # -- key ----------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _configured(self) -> Iterator[list[str]]:
        """Yield the arguments of a configuration with which actod reaches the token. The PIN lies in memory meanwhile."""
        folder = self.machine.path(MEANWHILE)
        self.machine.remove(MEANWHILE)  # of a run that was killed
        try:
            self.machine.folder(MEANWHILE, 0o700, owned=False)
            for file, data in (
                ("pin", self.secret("token-pin")),
                ("actod.toml", _CONFIGURATION.format(folder=folder, uri=self.uri).encode()),
            ):
                path = folder / file
                path.touch(0o600)
                path.write_bytes(data)
                shutil.chown(path, *self.machine.ids())
            shutil.chown(folder, *self.machine.ids())
            yield ["--config", str(folder / "actod.toml")]
        finally:
            self.machine.remove(MEANWHILE)

    def _actod(self, *arguments: str) -> bytes:
        with self._configured() as configuration:
            return self.machine.run([*shlex.split(self.actod), *arguments, *configuration], as_user=True)

    def _has_key(self) -> bool:
        if not self._has_pins() or not self._has_token():
            return False
        try:
            return bool(json.loads(self._actod("keys", "list", "--json")))
        except ProvisionError as exc:
            if "key_count" in str(exc):
                return False
            raise

    def _make_key(self) -> None:
        self._actod("keys", "init")

    # -- what others read ---------------------------------------------------------------------------------------------

    def _texts(self) -> dict[str, bytes]:
        """Return what the configuration has to say of the token, and the unit where it differs from what is shipped."""
        texts = {SNIPPET: f'[token]\nuri = "{self.uri}"\npin_file = "credential:token-pin"\n'.encode()}
        lines = []
        if self.seal == "file":
            lines += [
                "LoadCredentialEncrypted=",
                f"LoadCredential=token-pin:{self.machine.path(secret_file('token-pin', self.seal))}",
            ]
        if self.kind == "tpm" and self.tcti != f"device:{DEVICE}":
            lines += [f"Environment=TPM2_PKCS11_TCTI={self.tcti}"]
        return texts | ({DROP_IN: "\n".join(["[Service]", *lines, ""]).encode()} if lines else {})

    def _has_settings(self) -> bool:
        return all(self.machine.holds(name, text) for name, text in self._texts().items())

    def _write_settings(self) -> None:
        for name, text in self._texts().items():
            self.machine.write(name, text, 0o644)

    def _remove_settings(self) -> None:
        for name in (SNIPPET, DROP_IN):
            self.machine.remove(name)

    def _has_report(self) -> bool:
        return self.machine.path(REPORT).exists() and self.machine.holds(REPORT, self.report())

    def _write_report(self) -> None:
        self.machine.write(REPORT, self.report(), 0o644)

    def report(self) -> bytes:
        """Return what an operator enrols: a trust file, and beside it what the machine says of its chip."""
        key = json.loads(self._actod("keys", "export"))
        ed25519, p256 = key["ed25519"], key["p256"]
        enrolled = {
            "ed25519": ed25519["thumbprint"],
            "public": ed25519["jwk"]["x"],
            "p256": p256 and p256["thumbprint"],
            "kind": key["kind"],
        }
        trust = {
            "actod_trust": 1,
            "devices": [{"device": None, "keys": [enrolled]}],  # its id is drawn at its first start
            "operators": [],
            "report": {
                "token": self.kind,
                "pin_sealed_to": self.seal,
                "key": key,
                "chip": self._chip() if self.kind == "tpm" else None,
            },
        }
        return json.dumps(trust, indent=2).encode() + b"\n"

    def _chip(self) -> dict[str, str]:
        said = self.machine.run(["tpm2_getcap", "-T", self.tcti, "properties-fixed"]).decode()
        names = ("MANUFACTURER", "VENDOR_STRING_1", "VENDOR_STRING_2", "FIRMWARE_VERSION_1", "FIRMWARE_VERSION_2")
        found = ((name, re.search(rf"TPM2_PT_{name}:\n\s+raw: (\S+)", said)) for name in names)
        return {name.lower(): one[1] for name, one in found if one}
