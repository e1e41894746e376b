"""`python -m scripts.launch`, called by scripts/run."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from scripts.launch import example, run
from scripts.launch.installation import Installation
from scripts.launch.screen import say
from stackyn_server import config_file
from stackyn_server.errors import StackynError

SHIPPED = Path(__file__).resolve().parents[2] / "config.toml"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/run")
    parser.add_argument("--config", type=Path, default=SHIPPED)
    parser.add_argument("--no-demo", dest="demo", action="store_false")
    parser.add_argument("--demo-port", type=int, default=example.PORT)
    options = parser.parse_args()
    try:
        installation = Installation(options.config.resolve(), config_file.load(options.config))
        return asyncio.run(run.serve(installation, options.demo_port if options.demo else None))
    except StackynError as error:
        say(f"\n{error.message}" + (f" {error.hint}" if error.hint else ""))
        return int(getattr(error, "exit_code", 1))


if __name__ == "__main__":
    sys.exit(main())
