"""The operator who may give a robot another key: an Ed25519 key off the robot, made and used as docs/keys.md says."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Operator:
    """A private key that stays here, and the public half that goes to the robot."""

    private: Path
    public: Path

    @classmethod
    def make(cls, folder: Path) -> Operator:
        """Make a key in a folder of its own."""
        folder.mkdir(mode=0o700)
        private, public = folder / "operator.pem", folder / "operator.pub.pem"
        private.touch(0o600)
        subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "ED25519", "-out", str(private)], check=True)
        subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
        return cls(private, public)

    def sign(self, statement: bytes) -> bytes:
        """Sign what `actod keys adopt --out` wrote; 64 bytes."""
        file, signature = self.private.with_name("statement"), self.private.with_name("statement.sig")
        file.write_bytes(statement)
        command = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", str(self.private), "-in", str(file)]
        subprocess.run([*command, "-out", str(signature)], check=True)
        return signature.read_bytes()
