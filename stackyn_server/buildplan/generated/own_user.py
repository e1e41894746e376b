"""The user of an app in a generated Dockerfile: a number of its own for `app`, which is 1000 in every base image. Pure.

The kernel counts some things by user (inotify instances and watches, pages of pipes). With one number for all apps, one
of them could use up what the others need.
"""

from __future__ import annotations

import re

from stackyn_server.buildplan.generated.instructions import APP_UID

# What a build's user namespace has room for, above the users of a machine's people.
_FIRST, _LAST = 20_000, 65_000
_FOLDERS = "/app /home/app /srv/site"  # what `app` owns in the base images
_CACHE = re.compile(rf"(--mount=type=cache,id=[\w.-]+)(,target=/cache),uid={APP_UID},gid={APP_UID}\b")
_FROM = re.compile(r"FROM (\S+)(?: AS (\S+))?")
_STATIC = re.compile(r"(?:\S+/)?static(?::\S+)?")  # the one base image that runs as `app` unless it is told


def user_of_seat(seat: int) -> int:
    """Return the number of an app's user, which is its own as long as there are fewer than 45,000 apps."""
    return _FIRST + seat % (_LAST - _FIRST)


def with_own_user(dockerfile: str, uid: int) -> str:
    """Return a generated Dockerfile in which `app` has the number `uid` in each stage that begins from a base image.

    Its caches are the app's own: a mount sets the owner of a new cache alone, so that nobody else could write to it.
    """
    lines: list[str] = []
    stages: set[str] = set()
    for line in dockerfile.split("\n"):
        lines.append(_CACHE.sub(rf"\1-{uid}\2,uid={uid},gid={uid}", line))
        begins = _FROM.fullmatch(line)
        if begins is None:
            continue
        image, stage = begins.groups()
        if image not in stages:
            lines += ["USER root", _renumbering(uid)]
            if _STATIC.fullmatch(image):
                lines.append("USER app:app")
        if stage:
            stages.add(stage)
    return "\n".join(lines)


def _renumbering(uid: int) -> str:
    return (
        f"RUN sed -i 's/^app:\\([^:]*\\):{APP_UID}:{APP_UID}:/app:\\1:{uid}:{uid}:/' /etc/passwd && "
        f"sed -i 's/^app:\\([^:]*\\):{APP_UID}:/app:\\1:{uid}:/' /etc/group && "
        f"for folder in {_FOLDERS}; do [ ! -e $folder ] || chown -R app:app $folder; done"
    )
