"""Each quarter: what no program can do. People are reminded, and say so in their own records."""

from __future__ import annotations

REMINDERS: dict[str, str] = {
    "recovery-exercise": "take a spare board, install, restore and adopt a key as for a dead robot (docs/keys.md)",
    "access-review": "who may log in here, and who is in the groups actod, actod-signer and tss: does each still need it?",
    "enrolments": "compare the trust files of your verifiers with the robots that are in use: actod keys export --trust",
    "collector-keys": "at the collector: one API key for each robot, none of a robot that is gone",
    "backup-pin": "is the private key behind the backup pin where you think it is, and does it open? (docs/pins.md)",
    "operators-keys": "the private keys of operators and of `actod vault key`: who has them, and can they be read?",
    "incident-exercise": "go through a page of docs/incidents.md on a robot of the bench, with the people who would do it",
}
