"""What the policy says about each finding, and what then stands in its place. Counts and explains on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from actod.mask.finding import UNREADABLE, Finding
from actod.mask.operators import DROPPED, Operators
from actod.mask.policy import Policy, Rule


class Decision(NamedTuple):
    """One decision, for `--explain`. Never holds the value."""

    path: str
    type: str
    rule: str
    confidence: float
    operator: str


class Verdicts:
    """Applies one policy to what is found. `path` is where the walk stands; the walk keeps it up to date."""

    def __init__(
        self,
        *,
        policy: Policy,
        rules: tuple[Rule, ...],
        operators: Operators,
        only: frozenset[str] | None,
    ) -> None:
        self.path: list[str] = []
        self.rules_with_path = tuple(rule for rule in rules if rule.path is not None and not rule.type)
        # They take all that stands at their path, found or not. `keep` does not: an earlier rule for a type comes first.
        self.path_rules = tuple(rule for rule in self.rules_with_path if rule.operator != "keep")
        self._policy = policy
        self._rules = rules
        self._operators = operators
        self._only = only
        self.made_coarser = False  # whether the last text was
        self.begin(Counter(), None)

    def begin(self, counts: Counter[str], explain: Callable[[Decision], None] | None) -> None:
        """Count and explain what is decided from now on."""
        self._counts = counts
        self._explain = explain

    def text(self, text: str, found: list[Finding]) -> Any:
        """Return the text with each finding replaced, or DROPPED."""
        pieces = []
        last = 0
        self.made_coarser = False
        for f in found:
            pieces.append(text[last : f.start])
            if f.replacement is not None:
                pieces.append(f.replacement)
            else:
                operator = self.decide(f)
                if operator == "drop":
                    return DROPPED
                self.made_coarser |= operator == "coarsen"
                pieces.append(self._operators.text(operator, f.type, text[f.start : f.end]))
            last = f.end
        pieces.append(text[last:])
        masked = "".join(pieces)
        return text if masked == text else masked

    def number(self, value: float, type_: str, rule: str, confidence: float) -> Any:
        """Return what stands in the place of a number that was found."""
        if self._only is not None and type_ not in self._only:
            return value
        operator = self.decide(Finding(0, 0, type_, rule, confidence), value)
        if operator == "drop":
            return DROPPED
        masked = self._operators.number(operator, type_, value)
        return value if masked == value else masked

    def pieces(self, items: list[Any], type_: str, rule: str) -> list[Any]:
        """Blank all pieces of one value."""
        if self._only is not None and type_ not in self._only:
            return items
        operator = self.decide(Finding(0, 0, type_, rule, 0.9))
        if operator == "keep":
            return items
        blank = f"<{type_.upper()}>"
        return [x if x is None or type(x) is bool else blank if type(x) is str else 0 for x in items]

    def decide(self, finding: Finding, number: float | None = None) -> str:
        """Return the operator for a finding where the walk stands; count and explain it."""
        operator = self._policy.default_operator(finding.type)
        for rule in self._rules:
            if rule.type in ("", finding.type) and (rule.path is None or rule.matches_path(tuple(self.path))):
                operator = rule.operator
                break
        if operator != "keep" and (number is None or number):
            self._counts[finding.type] += 1
        if self._explain is not None:
            pointer = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in self.path)
            self._explain(Decision(pointer, finding.type, finding.rule, finding.confidence, operator))
        return operator

    def applied(self, operator: str, type_: str, text: str) -> Any:
        """Return what stands in the place of a whole text, or DROPPED."""
        return DROPPED if operator == "drop" else self._operators.text(operator, type_, text)

    def rule_here(self) -> Rule | None:
        """Return the first rule that takes all that stands here."""
        path = tuple(self.path)
        for rule in self.path_rules:
            if rule.matches_path(path):
                return rule
        return None

    def rule_for_member(self, key: str) -> Rule | None:
        """Return the first rule, `keep` too, that names the path of a member of what stands here and no type."""
        path = (*self.path, key)
        return next((rule for rule in self.rules_with_path if rule.matches_path(path)), None)

    def rules_members(self) -> bool:
        """Whether a rule takes single members of what stands here."""
        depth = len(self.path)
        return any(
            len(rule.path or ()) == depth + 1
            and all(want in ("*", got) for want, got in zip(rule.path or (), self.path, strict=False))
            for rule in self.path_rules
        )

    def configured(self, value: Any, rule: Rule) -> Any:
        """Apply a rule that names a path and no type to all that stands there."""
        if value is None:
            return value
        if type(value) is dict:
            masked = {key: self.configured(member, rule) for key, member in value.items()}
            return DROPPED if rule.operator == "drop" else masked
        if type(value) is list:
            return DROPPED if rule.operator == "drop" else [self.configured(item, rule) for item in value]
        self._counts["configured"] += 1
        if rule.operator == "drop":
            return DROPPED
        if type(value) is str:
            return self._operators.text(rule.operator, "configured", value)
        return (
            False
            if type(value) is bool
            else self._operators.number(rule.operator, "gps" if rule.operator == "coarsen" else "configured", value)
        )

    def unreadable(self) -> str:
        """Count what could not be vouched for, and return what stands in its place."""
        self._counts["unreadable"] += 1
        return UNREADABLE
