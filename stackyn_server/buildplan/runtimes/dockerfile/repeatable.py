"""Whether a Dockerfile gives the same image again as long as its files, settings and base images are the same.

Downloads of its commands do not count: a build cache does not repeat them either. In doubt the answer is no, and the
builder decides.
"""

from __future__ import annotations

import re

from stackyn_server.buildplan.runtimes.dockerfile.syntax import read_dockerfile

_FROM_VARIABLE = re.compile(r"^[ \t]*FROM\b[^\n]*\$", re.IGNORECASE | re.MULTILINE)
_FROM_OPTION = re.compile(r"\bfrom=[\"']?([^\s,\"']*)", re.IGNORECASE)
_ADD = re.compile(r"^[ \t]*(?:ONBUILD[ \t]+)?ADD\b", re.IGNORECASE | re.MULTILINE)
_ELSEWHERE = re.compile(r"://|git@|\$")


def is_repeatable(text: str) -> bool:
    """True when the builder takes everything from the context, from stages, or from images that the plan knows."""
    facts = read_dockerfile(text)
    stages = {stage.lower() for stage in facts.stages if stage}
    sources = {source.lower() for source in _FROM_OPTION.findall(text)}
    return (
        bool(facts.stages)
        and not facts.syntax
        and not _FROM_VARIABLE.search(text)
        and all(source in stages or source.isdecimal() for source in sources)
        and not (_ADD.search(text) and _ELSEWHERE.search(text))
    )
