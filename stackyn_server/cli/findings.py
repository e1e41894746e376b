"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    FINE = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    verdict: Verdict
    sentence: str
    hint: str = ""

    def as_text(self) -> str:
        hint = f"\n{'':24}{self.hint}" if self.hint else ""
        return f"{self.verdict:<8} {self.subject:<14} {self.sentence}{hint}"
