"""The package in a container with systemd: `python -m hil.installed`. The first step that fails ends it.

The token is SoftHSM, broker and collector are on the same network; the steps are those of hil/acceptance.py.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from hil.acceptance import (
    MARK,
    SETTINGS,
    Site,
    at_rest,
    check,
    configure,
    install,
    journal,
    lose_the_signer,
    metrics,
    provision,
    reload,
    remove,
    start,
    upgrade,
)
from hil.collector.client import Collector
from hil.machine import booted
from hil.maintained import lock, maintain
from hil.parts.broker import free_port
from hil.parts.certificates import CertificateAuthority

BROKER = "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 50000\n"


def main() -> int:
    """Run all steps on one release."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", choices=sorted(MARK), default="bookworm")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="actod-installed-") as name, booted(options.release) as machine:
        folder = Path(name)
        authority = CertificateAuthority.make(folder / "ca")
        api_key = "acto_" + secrets.token_urlsafe(32)
        collector = Collector(folder=folder / "collector", certificate=authority.issue("collector"), api_keys=[api_key])
        collector.start()
        try:
            site = Site(machine, collector, authority, free_port(), options.release, api_key)
            install(site)
            provision(site)
            configure(
                site,
                url=f"https://127.0.0.1:{collector.port}",
                environment="dev",
                settings=f"[mqtt]\nport = {site.port}\n{SETTINGS}",
            )
            machine.write("/etc/mosquitto/conf.d/actod.conf", BROKER.format(port=site.port))
            machine.run("systemctl", "restart", "mosquitto")
            for step in (
                start,
                partial(check, fails=set()),
                at_rest,
                reload,
                metrics,
                maintain,
                lock,
                lose_the_signer,
                upgrade,
                journal,
                remove,
            ):
                step(site)
        except BaseException:
            print(machine.run("journalctl", "-n", "60", "--no-pager", check=False).stdout, file=sys.stderr)
            raise
        finally:
            collector.close()
    print(f"installed: all steps hold on {options.release}, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
