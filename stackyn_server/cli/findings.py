"""One result of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    FINE = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    severity: Severity
    sentence: str
    hint: str = ""

    def as_text(self) -> str:
        hint = f"\n{'':24}{self.hint}" if self.hint else ""
        return f"{self.severity:<8} {self.subject:<14} {self.sentence}{hint}"
