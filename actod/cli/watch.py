"""A live view in the terminal: asks again and again, and draws over what it drew before. Standard library alone.

Where the output is no terminal, each answer is a block of its own. A daemon that is away is waited for: it may be starting.
"""

from __future__ import annotations

import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from actod.cli.state import NotRunningError

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # another screen, no cursor; and back
_INDENT = " " * 12
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def watch(answer: Callable[[], str], *, away: Callable[[str], str], every_seconds: float) -> int:
    """Show what `answer` returns, again and again, until Ctrl-C or SIGTERM; return 0.

    `away` makes the text for a daemon that does not answer, out of the reason. What else `answer` raises ends it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), _screen() as show:
        while True:
            try:
                text = answer()
            except NotRunningError as exc:
                text = away(str(exc))
            show(text)
            time.sleep(every_seconds)
    return 0


@contextmanager
def _screen() -> Iterator[Callable[[str], None]]:
    """Yield what shows a text; the terminal is left as it was found."""
    if not sys.stdout.isatty():
        yield _append
        return
    sys.stdout.write(_ENTER)
    try:
        yield _draw
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


def _append(text: str) -> None:
    print(text, flush=True)


def _draw(text: str) -> None:
    """Draw over the screen: long lines are folded, and what is below the last row is not shown."""
    columns, rows = shutil.get_terminal_size()
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, columns, subsequent_indent=_INDENT) or [""]]
    sys.stdout.write(_HOME + "".join(f"{line}{_REST_OF_LINE}\n" for line in lines[: rows - 1]) + _REST_OF_SCREEN)
    sys.stdout.flush()
