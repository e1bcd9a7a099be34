#!/usr/bin/env python3
"""Print docs/check.md from the registry of checks: python docs/check.py > docs/check.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from actod.cli.checks.registry import CHECKS

_HEAD = """# actod check

```sh
sudo -u actod actod check                       # all of it
sudo -u actod actod check --only broker --only key-age   # a group, or one check; may be repeated
sudo -u actod actod check --offline --json      # nobody is asked over a network; JSON lines
actod check --list                              # what each looks at; makes none
```

Each check is a line, as soon as it ends: `ok`, `warn`, `fail`, or `skip` where there is nothing to ask, or where an earlier
check already says why it cannot be asked. Under each `warn` and `fail` stands the command that mends it. None changes
anything, none stops the others, and each has a time limit: one that does not answer has failed. The last line counts them.

| exit code | meaning |
|---|---|
| 0 | nothing fails. Warnings have no code of their own: they are for a person to weigh, and must stop no script |
| 1 | something fails |
| 2 | `--only` names what there is not; those that there are are named |
| 78 | the configuration is refused: the daemon would not start |

What a finding is worth depends on `environment`: prod, or else (dev and staging); a dash: it is no fault there. What cannot
be known, or will be wrong soon, is a warning in each. A check that needs the network is left out by `--offline`.
"""


def document() -> str:
    """Return the page as Markdown."""
    return "\n".join((_HEAD, *_tables()))


def _tables() -> Iterator[str]:
    for wanted in dict.fromkeys(group for group, _check in CHECKS.values()):
        yield f"## {wanted}\n"
        yield "| id | looks at | else | prod | what mends it |"
        yield "|---|---|---|---|---|"
        for group, check in CHECKS.values():
            if group == wanted:
                network = " (network)" if check.network else ""
                levels = [level.replace("ok", "-") for level in (check.elsewhere, check.prod)]
                cells = (f"`{check.id}`", check.looks_at + network, *levels, f"`{check.mend}`")
                yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""


if __name__ == "__main__":
    sys.stdout.write(document())
