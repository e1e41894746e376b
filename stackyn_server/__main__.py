"""The `stackyn` command."""

from __future__ import annotations

from stackyn_server.cli.main import main

if __name__ == "__main__":
    main()
