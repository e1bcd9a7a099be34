from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hil.parts.softhsm import SoftToken, make_token
from tests.keys.parts import Child, Signer, Spy, write_config


@pytest.fixture(scope="session")
def first_token(tmp_path_factory: pytest.TempPathFactory) -> SoftToken:
    """Make the token that each test gets a copy of."""
    return make_token(tmp_path_factory.mktemp("token") / "first")


@pytest.fixture
def token(tmp_path: Path, first_token: SoftToken) -> SoftToken:
    """Copy a token with one proper key."""
    folder = tmp_path / "token"
    shutil.copytree(first_token.folder, folder)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(configuration.read_text().replace(str(first_token.folder), str(folder)))
    return replace(first_token, folder=folder, pin_file=folder / "pin", environment={"SOFTHSM2_CONF": str(configuration)})


@pytest.fixture(scope="session")
def spy_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("spy") / "spy.so"
    source = Path(__file__).with_name("spy.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.fixture
def spy(tmp_path: Path, spy_library: Path) -> Spy:
    folder = tmp_path / "switches"
    folder.mkdir()
    return Spy(spy_library, folder)


@pytest.fixture
def make_signer(tmp_path: Path) -> Iterator[Callable[..., Signer]]:
    """Make signers; each is ended with the test."""
    made: list[Signer] = []

    def make(
        token: SoftToken,
        *,
        spy: Spy | None = None,
        prefix: tuple[str, ...] = (),
        environment: str = "dev",
        settings: str = "",
        folder: Path = tmp_path,
    ) -> Signer:
        config = write_config(tmp_path, token, environment=environment, uri=spy.uri if spy else "", settings=settings)
        variables = dict(os.environ) | token.environment | (spy.environment if spy else {})
        signer = Signer(config, folder / "run" / "signer.sock", tmp_path / "signer.log", variables, prefix)
        made.append(signer)
        return signer

    yield make
    for signer in made:
        if signer.process is not None:
            signer.process.kill()
            signer.process.wait(10)


@pytest.fixture
def signer(token: SoftToken, make_signer: Callable[..., Signer]) -> Signer:
    """Start a signer over a proper token."""
    signer = make_signer(token)
    signer.start()
    return signer


@pytest.fixture
def supervised(tmp_path: Path, token: SoftToken, spy: Spy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for name, value in (token.environment | spy.environment).items():
        monkeypatch.setenv(name, value)
    config_file = write_config(tmp_path, token, uri=spy.uri)

    @asynccontextmanager
    async def supervise(*, config: Path = config_file) -> AsyncIterator[Child]:
        child = Child(config, tmp_path / "run" / "signer.sock")
        task = asyncio.create_task(child.supervisor.run())
        try:
            yield child
        finally:
            child.client.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return supervise


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that every user can reach, as the test's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="signer-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
