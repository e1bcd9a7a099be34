"""Commands of the pages that a copy of this machine cannot run: how they begin, and where they are tried instead."""

from __future__ import annotations

ELSEWHERE = {
    "make setup": "each run of the tests begins with it",
    "make demo": "CI runs it",
    "make test": "this is it",
    "make deb": "make hil-fast builds the packages, tests/deploy/test_package.py what goes into them",
    "sudo apt-get": "make hil-fast installs, upgrades, removes and purges the package with dpkg",
    "pip install '.[systemd]'": "make setup does it",
    "systemctl list-timers": "make hil-fast tries the timers on a machine with systemd (hil/maintained.py)",
    "sudo systemctl start actod-maintenance@": "likewise",
    "sudo systemctl disable --now actod-maintenance": "likewise",
    "journalctl": "make hil-fast reads the journal of a machine with systemd",
    "sudo systemctl daemon-reload": "it has nothing to reload where no systemd runs",
    "python tests/pii/score.py": "tests/mask/test_corpus.py runs it, and holds what it measures",
    "python3 docs/verify.py p256.pem": "tests/proof/test_standalone_script.py: a software token has no second key",
    "actod verify --trust robots.json --require-hardware": "tests/proof/test_standalone_script.py: likewise",
    "sudo systemd-creds encrypt --with-key=host+tpm2": "tests/tpm/test_provision.py seals to a TPM in the same way",
}


def lines_to_run(text: str) -> list[str]:
    """Return the commands of a block, without those that are tried elsewhere; one that goes on over lines is one."""
    commands = text.replace("\\\n", "\\\0").splitlines()
    return [line.replace("\\\0", "\\\n") for line in commands if not line.startswith(tuple(ELSEWHERE))]
