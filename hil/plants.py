"""What is planted in actod on purpose, and how the scenario that must not let it pass tells that it did not."""

from __future__ import annotations

from dataclasses import dataclass

OWED = "nothing is owed"  # what the scenario says when something acknowledged does not arrive
NOT_NAMED = "it was not named"


@dataclass(frozen=True, slots=True)
class Plant:
    """Something wrong in the installed program or its unit, and the scenario that has to catch it."""

    name: str
    scenario: str
    shows: str  # in the scenario's problem: another problem catches nothing
    loses: bool  # whether messages are gone for good, once it is put right again
    edits: tuple[tuple[str, str], ...] = ()  # (file below the package, script for sed)
    drop_in: str = ""  # for the signer's unit

    def caught(self, problem: str, *, gone: int) -> bool:
        """Whether the scenario's problem says what is wrong here, and messages are gone exactly where some have to be."""
        return self.shows in problem and bool(gone) == self.loses


PLANTS = (
    Plant(
        "acknowledged before the commit",
        "disk_errors",
        shows=OWED,
        loses=True,
        edits=(("pipeline.py", r"/await _until_possible(partial(_commit, group/{N;s/^\(.*\)\n\(.*\)$/\2\n\1/}"),),
    ),
    # Not DeviceAllow=: systemd lets a unit with encrypted credentials have the TPM, whatever that says.
    Plant(
        "a sandbox too tight for the TPM",
        "signer_killed",
        shows=OWED,
        loses=False,
        drop_in="[Service]\nPrivateDevices=yes\n",
    ),
    Plant(
        "a watchdog petted by a timer",
        "disk_stalls",
        shows=NOT_NAMED,
        loses=False,
        edits=(("service/watchdog.py", r"s/late = await self._late(seconds)/late: list[str] = []/"),),
    ),
    # Python's syncs and SQLite's. The last: it sets the store back, which the others should not have to live with.
    Plant(
        "fsync off",
        "power_cut",
        shows=OWED,
        loses=True,
        edits=(
            ("__init__.py", r"$a import os; os.fsync = os.fdatasync = lambda _: None"),
            ("store/schema.py", "s/synchronous=FULL/synchronous=OFF/"),
        ),
    ),
)
