"""What detection decided: how a commit is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

GENERATED_DOCKERFILE = ".stackyn/Dockerfile"


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """How a commit is built, with the reasons in sentences for its owner.

    `dockerfile` is a path in the build context; when `generated` has its text, it is not in the repository and must be
    added to the context. `port` is where the app is told to listen (PORT) and is expected to answer. `ignore` holds
    patterns in Docker's syntax for files that a generated build leaves out before the repository's own `.dockerignore`.
    `syntax` is the frontend that a Dockerfile of the repository names in its `# syntax=` line.
    """

    runtime: str
    reasons: tuple[str, ...]
    dockerfile: str
    generated: str | None
    port: int
    needs_buildkit: bool = False
    ignore: tuple[str, ...] = ()
    syntax: str = ""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "reasons": list(self.reasons), "ignore": list(self.ignore)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(
            runtime=stored["runtime"],
            reasons=tuple(stored["reasons"]),
            dockerfile=stored["dockerfile"],
            generated=stored["generated"],
            port=stored["port"],
            needs_buildkit=stored.get("needs_buildkit", False),
            ignore=tuple(stored.get("ignore", ())),
            syntax=stored.get("syntax", ""),
        )
