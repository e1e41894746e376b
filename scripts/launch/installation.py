"""What one `config.toml` describes, as scripts/run needs it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.config import Settings
from stackyn_server.errors import StackynError


class NotStarted(StackynError):
    """The sentence is for whoever called scripts/run."""


@dataclass(frozen=True, slots=True)
class Installation:
    file: Path
    settings: Settings

    @property
    def data_dir(self) -> Path:
        return self.settings.server.data_dir

    @property
    def log(self) -> Path:
        return self.data_dir / "server.log"

    @property
    def credentials(self) -> Path:
        return self.data_dir / "first-admin"

    @property
    def api(self) -> str:
        return f"http://{self.settings.server.host}:{self.settings.server.port}"

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `stackyn` with these arguments, for this installation."""
        return [sys.executable, "-m", "stackyn_server", *arguments, "--config", str(self.file)]
