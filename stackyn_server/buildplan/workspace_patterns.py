"""Which folders the patterns of a workspace name. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase

# A name in a path has at most 255 bytes, so a longer pattern is meant to keep us busy: fnmatch takes quadratic time to
# read one.
_LONGEST = 255


def names_folder(pattern: str, folder: str) -> bool:
    """Match folder by folder, because a star in `packages/*` stands for one of them."""
    parts, patterns = folder.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(matches, parts, patterns))


def matches(name: str, pattern: str) -> bool:
    """True when a pattern fits a whole text; False for a pattern that is too long to be one."""
    return len(pattern) <= _LONGEST and fnmatchcase(name, pattern)
