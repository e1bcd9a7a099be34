"""A page of the documentation, and the commands in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hil.rig import ROOT
from tests.docs.elsewhere import lines_to_run

_FENCE = re.compile(r"^([ ]*)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """The lines of one fence, and where it begins."""

    language: str
    text: str
    line: int

    def typed(self, **values: str) -> str:
        """Return the commands that can be run here, with a reader's own values in the place of words such as PROOF_ID."""
        text = "\n".join(lines_to_run(self.text))
        for word, value in values.items():
            assert word in text, f"line {self.line}: {word} does not stand there"
            text = text.replace(word, value)
        return text


class Page:
    """One page. `take` hands out blocks; `left` are those that nobody took."""

    def __init__(self, name: str) -> None:
        self.file = ROOT / name
        text = self.file.read_text(encoding="utf-8")
        self.blocks = [
            Block(
                found[2], re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE), text.count("\n", 0, found.start()) + 1
            )
            for found in _FENCE.finditer(text)
        ]
        self._taken: set[int] = set()

    def take(self, word: str, *, language: str = "sh") -> Block:
        """Return the first block of the language that nobody took yet and that holds a word."""
        for block in self.blocks:
            if block.language == language and block.line not in self._taken and word in block.text:
                self._taken.add(block.line)
                return block
        raise LookupError(f"{self.file.name} has no other {language} block with {word!r}")

    def left(self) -> list[str]:
        """Return the first lines of the blocks of commands that nobody took and that could be run here."""
        return [
            f"{self.file.name}:{block.line}: {block.text.splitlines()[0]}"
            for block in self.blocks
            if block.language == "sh" and block.line not in self._taken and lines_to_run(block.text)
        ]
