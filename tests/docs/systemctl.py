"""Stands where systemctl does in a copy of this machine: starts a unit as its file says, without the sandbox.

Users, folders, credentials, environment, drop-ins and READY are the unit's own. What systemd itself makes of the units is
tried on machines that have one (`make hil-fast`).
"""

import grp
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

PIDS = Path("/run/started")


def settings(unit: str) -> dict[str, list[str]]:
    """Return the lines of a unit and its drop-ins: key -> values; an empty value forgets those before."""
    files = [path / f"{unit}.service" for path in map(Path, ("/etc/systemd/system", "/usr/lib/systemd/system"))]
    file = next((path for path in files if path.exists()), None)
    if file is None:
        sys.exit(f"systemctl: there is no unit {unit}")
    found: dict[str, list[str]] = {}
    for part in [file, *sorted(Path(f"/etc/systemd/system/{unit}.service.d").glob("*.conf"))]:
        for line in part.read_text().splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                found[key] = [*found.get(key, []), value] if value else []
    return found


def first(unit: dict[str, list[str]], key: str, default: str = "") -> str:
    """Return a value that stands once."""
    return (unit.get(key) or [default])[-1]


def pid_of(name: str) -> int:
    """Return the pid of a running unit, or 0."""
    file = PIDS / name
    pid = int(file.read_text()) if file.exists() else 0
    try:
        running = pid and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        running = False
    return pid if running else 0


def folder(path: Path, mode: str, user: str) -> None:
    """Make a folder of the unit's user."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(int(mode, 8))
    shutil.chown(path, user, user)


def credentials(name: str, unit: dict[str, list[str]], user: str) -> str:
    """Make the folder with the credentials of a unit, and return it; empty where it has none."""
    plain = [entry.split(":") for entry in unit.get("LoadCredential", [])]
    encrypted = [entry.split(":") for entry in unit.get("LoadCredentialEncrypted", [])]
    if not plain and not encrypted:
        return ""
    place = Path(f"/run/credentials/{name}.service")
    shutil.rmtree(place, ignore_errors=True)
    folder(place, "700", user)
    for key, source in plain:
        (place / key).write_bytes(Path(source).read_bytes())
    for key, source in encrypted:
        command = ["systemd-creds", "decrypt", f"--name={key}", source, "-"]
        (place / key).write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    for file in place.iterdir():
        file.chmod(0o400)
        shutil.chown(file, user, user)
    return str(place)


def start(name: str) -> None:
    """Start a unit, after what it wants, and return when it says that it is ready."""
    if pid_of(name):
        return
    unit = settings(name)
    for other in " ".join(unit.get("Wants", [])).split():
        if other.endswith(".service"):
            start(other.removesuffix(".service"))
    if not all(Path(path).exists() for path in unit.get("ConditionPathExists", [])):
        return  # as systemd does: no failure
    for line in unit.get("ExecStartPre", []):
        subprocess.run(line.split(), check=True)
    user = first(unit, "User", "root")
    for key, above in (("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")):
        if first(unit, key):
            folder(Path(above, first(unit, key)), first(unit, f"{key}Mode", "755"), user)
    environment = dict(pair.split("=", 1) for line in unit.get("Environment", []) for pair in line.split())
    environment |= {"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": credentials(name, unit, user)}
    PIDS.mkdir(exist_ok=True)
    address = PIDS / f"{name}.notify"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard, Path(f"/var/log/{name}.log").open("ab") as log:
        heard.bind(str(address))
        address.chmod(0o666)
        heard.settimeout(0.1)
        process = subprocess.Popen(
            first(unit, "ExecStart").split(),
            env={key: value for key, value in environment.items() if value} | {"NOTIFY_SOCKET": str(address)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=user,
            group=first(unit, "Group", pwd.getpwnam(user).pw_name),
            extra_groups=[entry.gr_gid for entry in grp.getgrall() if user in entry.gr_mem],
        )
        (PIDS / name).write_text(str(process.pid))
        while True:
            try:
                if b"READY=1" in heard.recv(65536):
                    return
            except TimeoutError:
                if process.poll() is not None:
                    sys.exit(f"Job for {name}.service failed: exit code {process.returncode}")


def stop(name: str) -> None:
    """End a unit in an orderly way."""
    pid = pid_of(name)
    if pid:
        handle = os.pidfd_open(pid)
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        select.select([handle], [], [])  # it is readable when the process has ended
    shutil.rmtree(f"/run/credentials/{name}.service", ignore_errors=True)


def main() -> None:
    """Do what systemctl would."""
    action, *names = sys.argv[1:]
    units = [name.removesuffix(".service") for name in names]
    for name in units:
        if action in ("stop", "restart"):
            stop(name)
        if action in ("start", "restart"):
            start(name)
        if action == "reload":
            subprocess.run(first(settings(name), "ExecReload").split(), check=True)
        if action in ("status", "is-active"):
            sys.stdout.write(f"{name}.service: {'active' if pid_of(name) else 'inactive'}\n")
            if not pid_of(name):
                sys.exit(3)


main()
