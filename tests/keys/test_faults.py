"""A token that fails in every way: what the signer does is what its table says, and no wrong signature leaves it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from nacl.signing import VerifyKey

from actod.errors import TransientError
from actod.keys import healing
from hil.parts.softhsm import make_token
from hil.rig import ROOT
from tests.keys.ckr import CALLS, CODES
from tests.keys.matrix import table
from tests.keys.parts import HASH, Spy

ENDS = [("C_Sign", "abort"), ("C_Login", "segv")]
# making a key is not among what is asked for here, and nothing is asked for at the end of a session
_ASKED = set(CALLS) - {"C_CreateObject", "C_GenerateKeyPair", "C_CloseSession", "C_Logout", "C_Finalize"}
EVERY_END = [(function, what) for function in sorted(_ASKED) for what in ("abort", "segv", "hang")]


def test_the_table_that_is_read_is_the_one_that_is_used() -> None:
    used = {name: {str(call): str(verdict) for call, verdict in row[2].items()} for name, row in healing.TABLE.items()}
    used["any other"] = {str(call): str(verdict) for call, verdict in healing.ANY_OTHER[1].items()}
    assert table() == used
    assert set(used) - {"any other"} <= set(CODES)


@pytest.mark.parametrize("sealed", [False, True], ids=["on-token", "sealed"])
def test_each_ckr_at_each_call_is_met_as_the_table_says(tmp_path: Any, spy: Spy, sealed: bool) -> None:
    if sealed:
        spy.on("no-ed25519")
    token = make_token(tmp_path / "token", keys=0)
    environment = os.environ | token.environment | spy.environment | {"PYTHONPATH": str(ROOT)}
    make = "import sys; from actod.keys import provision; provision.make_key(sys.argv[1], pin_file=sys.argv[2])"
    subprocess.run([sys.executable, "-c", make, spy.uri, str(token.pin_file)], env=environment, check=True)
    step = os.environ.get("CKR_STEP", "60" if sealed else "45")  # 1: every code
    command = [
        sys.executable,
        "-m",
        "tests.keys.matrix",
        spy.uri,
        str(token.pin_file),
        step,
        *(["sealed"] * sealed),
    ]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])  # behind the keeper's log
    assert said["wrong"] == []
    assert said["cases"] > (30 if sealed else (len(CALLS) - 3) * len(healing.TABLE))


@pytest.mark.parametrize(("function", "what"), EVERY_END if os.environ.get("CKR_STEP") == "1" else ENDS)
def test_a_signer_that_its_token_ends_or_holds_up_comes_back_and_signs_nothing_wrong(
    supervised: Callable[..., Any], spy: Spy, function: str, what: str
) -> None:
    async def scenario() -> None:
        async with supervised() as child:
            await child.signs()
            (key,) = await child.client.keys()
            spy.fault(function, what)
            os.kill(child.started()[-1], signal.SIGKILL)  # what is only done while a token is opened is done now
            async with asyncio.timeout(60):
                while spy.count("calls") == 0 or len(child.started()) < 3:
                    with suppress(TransientError):
                        await child.client.sign_payload_hash(HASH)
                    await asyncio.sleep(0.02)
            spy.well()
            signature = await child.signs()
            assert VerifyKey(key.ed25519).verify(HASH.encode(), signature)

    asyncio.run(scenario())
