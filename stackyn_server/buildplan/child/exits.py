"""Exit codes of the child process that reads tenants' files, beside success (0) and our own fault (1, a traceback)."""

from __future__ import annotations

OUT_OF_MEMORY = 75
CUT_OFF = 76
ABANDONED = 77  # the server has gone, or wants no more


class CutOff(Exception):
    """A tar ended before its end mark."""
