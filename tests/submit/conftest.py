from __future__ import annotations

from pathlib import Path

import pytest

from hil.parts.certificates import Certificate, CertificateAuthority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def certificate(authority: CertificateAuthority) -> Certificate:
    return authority.issue("server")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
