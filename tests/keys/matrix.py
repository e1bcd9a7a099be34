"""Each CKR_* at each call to a real token, and whether the signer does what the table of `actod/keys/healing.py` says.

    python -m tests.keys.matrix URI PIN_FILE [STEP]

Run in the environment of `Spy`, in a process of its own: it loads the PKCS#11 library. STEP takes each STEP-th of the codes
that the table does not name. Prints one line of JSON: how many cases, and those that went otherwise.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from actod.errors import TransientError
from actod.keys import healing
from actod.keys.keeper import TokenKeeper
from actod.keys.token import Token
from actod.keys.uri import parse
from actod.proof import p256
from tests.keys.ckr import CALLS, CODES
from tests.keys.parts import Spy

MESSAGE = b"actod:witness:v1\n"
LIE, SHORT = "lie", 60
Result = str  # "" for a signature, or the reason that there is none


def table() -> dict[str, dict[str, str]]:
    """Read the table that stands in the docstring: CKR_* without its prefix -> call -> verdict; "any other" is a row."""
    lines = [line.strip("| ").split(" | ") for line in (healing.__doc__ or "").splitlines() if line.startswith("| ")]
    head, rows = lines[0][1:], lines[1:]
    return {name: dict(zip(head, row[1:], strict=True)) for row in rows for name in row[0].split(", ")}


def part_of(function: str) -> str:
    """Return the column that a C function belongs to, as the docstring says; "" for those that change nothing."""
    calls = (healing.__doc__ or "").split("The calls: ")[1].split(" What C_")[0].replace("\n", " ")
    for column, functions in re.findall(r"(\w+) \(([^)]*)\)", calls):
        if function in functions.split(", "):
            return str(column)
    return ""


def codes(step: int) -> Iterator[str]:
    """Yield the names of the codes to try: of those that stand in the table, one in three where it is to be short."""
    named = [name for name in CODES if name in table()]
    others = [name for name in CODES if name not in table()]
    yield from (named if step < SHORT else named[::3])
    yield from others[::step]


class Bench:
    """A keeper without pauses over the spied token."""

    def __init__(self, uri: str, pin_file: Path) -> None:
        self._uri, self._pin_file = parse(uri), pin_file
        self.spy = Spy(Path(), Path(os.environ["SPY_FOLDER"]))
        self._generation = 1
        self.keeper = self.fresh()

    def fresh(self) -> TokenKeeper:
        """Return a keeper that knows nothing of a refused PIN."""
        return TokenKeeper(self._uri, pin_file=self._pin_file, pauses_seconds=(0.0,))

    def sign(self) -> Result:
        """Have something signed: with P-256 too, where there is one."""

        def use(token: Token) -> None:
            pair = token.pair("")
            signature = pair.sign_p256(MESSAGE)
            if signature is not None and not p256.verifies(MESSAGE, signature, str(pair.key.p256_thumbprint)):
                raise TransientError("wrong")
            try:
                VerifyKey(pair.key.ed25519).verify(MESSAGE, pair.sign_ed25519(MESSAGE))
            except BadSignatureError as exc:
                raise TransientError("wrong") from exc

        return self._reason(lambda: self.keeper.call(use))

    def make(self) -> Result:
        """Have a new generation made: what is left of one that failed is passed over."""
        self._generation += 1
        return self._reason(lambda: self.keeper.make(self._generation))

    @staticmethod
    def _reason(work: Callable[[], Any]) -> Result:
        try:
            work()
        except TransientError as exc:
            return exc.reason
        return ""


def while_building(bench: Bench, function: str, code: str, verdict: str) -> list[str]:
    """Let the call fail for ever while the token is opened: nothing is signed; then it heals, or waits for a PIN."""
    bench.keeper.close()
    bench.spy.fault(function, code)
    wrong = [] if bench.sign() else ["signed"]
    before = bench.spy.count("calls")
    again = bench.sign()
    asked = bench.spy.count("calls") > before
    if asked == (verdict == "stop"):
        wrong.append(f"asked again: {asked}")
    bench.spy.well()
    after = bench.sign()
    if verdict == "stop":
        if not after or after != again:
            wrong.append(f"a refused PIN gave {again!r}, then {after!r}")
        bench.keeper = bench.fresh()
        after = bench.sign()
    if after:
        wrong.append(f"not healed: {after}")
    if verdict == "retry":
        bench.keeper.close()
        bench.spy.fault(function, code, times=1)
        if seen := bench.sign():
            wrong.append(f"not retried: {seen}")
        bench.spy.well()
    return wrong


def while_signing(bench: Bench, function: str, code: str, verdict: str) -> list[str]:
    """Let one call of an open token fail: the request goes well where the table says retry or rebuild, and only there."""
    wrong = [f"not open: {seen}"] if (seen := bench.sign()) else []
    bench.spy.fault(function, code, times=2 if code == LIE else 1)  # the first call asks for the length alone
    seen = bench.sign()
    if bool(seen) == (verdict in {"retry", "rebuild"}):
        wrong.append(f"gave {seen!r}")
    bench.spy.well()
    after = bench.sign()
    if bool(after) != (verdict == "stop"):
        wrong.append(f"afterwards {after!r}")
    if verdict == "stop":
        bench.keeper = bench.fresh()
    return wrong


def while_making(bench: Bench, function: str, code: str) -> list[str]:
    """Let the making of a key fail: it is told, not repeated, and what signs goes on."""
    bench.spy.fault(function, code)
    wrong = [] if bench.make() else ["made"]
    if (asked := bench.spy.count("calls")) != 1:
        wrong.append(f"asked {asked} times")
    bench.spy.well()
    bench.keeper = bench.fresh()
    if seen := bench.sign():
        wrong.append(f"afterwards {seen}")
    return wrong


def while_ending(bench: Bench, function: str, code: str) -> list[str]:
    """Let the end of a session fail: nobody minds."""
    bench.sign()
    bench.spy.fault(function, code)
    bench.keeper.close()
    bench.spy.well()
    return [f"afterwards {seen}"] if (seen := bench.sign()) else []


_ALIKE = {"load", "slots", "login"}  # whatever the key is


def cases(bench: Bench, step: int, sealed: bool) -> Iterator[tuple[str, str, list[str]]]:
    """Run every case: (call, code, what went otherwise)."""
    rows = table()
    yield "C_Sign", LIE, while_signing(bench, "C_Sign", LIE, "rebuild")
    for function in CALLS:
        part = part_of(function)
        for code in codes(step):
            verdict = rows.get(code, rows["any other"]).get(part, "")
            if function in {"C_SignInit", "C_Sign"}:
                yield function, code, while_signing(bench, function, code, verdict)
            elif part == "make":
                if sealed or function != "C_CreateObject":
                    yield function, code, while_making(bench, function, code)
            elif part:
                if function != "C_GetInfo" and not (sealed and part in _ALIKE):  # the first: once in the life of a process
                    yield function, code, while_building(bench, function, code, verdict)
            elif function != "C_Finalize":  # a library that does not let go ends with its process
                yield function, code, while_ending(bench, function, code)


def main() -> None:
    """Run all, and print what came out."""
    uri, pin_file, step, sealed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), bool(sys.argv[4:])
    bench, count, wrong = Bench(uri, pin_file), 0, []
    for function, code, found in cases(bench, step, sealed):
        count += 1
        wrong += [f"{function} {code}: {what}" for what in found]
    sys.stdout.write(json.dumps({"cases": count, "wrong": wrong}))


if __name__ == "__main__":
    main()
