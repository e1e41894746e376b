"""The number of an app's user in generated Dockerfiles."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stackyn_server.buildplan.generated import instructions
from stackyn_server.buildplan.generated.own_user import user_of_seat, with_own_user

TWO_STAGES = """# made
FROM stackyn/node:22 AS build
WORKDIR /app
USER app
RUN npm ci

FROM build AS pruned
RUN npm prune

FROM stackyn/static:1
COPY --from=build --chown=app:app /app/ /app/
"""


def test_each_stage_on_a_base_image_gets_the_number() -> None:
    lines = with_own_user(TWO_STAGES, 20_007).split("\n")

    places = [number for number, line in enumerate(lines) if line.startswith("RUN sed ")]
    assert [lines[place - 2] for place in places] == [
        "FROM stackyn/node:22 AS build",
        "FROM stackyn/static:1",
    ]
    assert [lines[place - 1] for place in places] == ["USER root"] * 2
    assert lines[places[0] + 1] == "WORKDIR /app"
    assert lines[places[1] + 1] == "USER app:app", "that image runs as app unless it is told"
    rest = [line for line in lines if line not in ("USER root", "USER app:app") and "sed" not in line]
    assert rest == TWO_STAGES.split("\n")


def test_caches_belong_to_the_app() -> None:
    step = instructions.run("go build", "go")

    lines = with_own_user(f"FROM stackyn/go:1.25\n{step}\n", 20_007).split("\n")

    assert "RUN --mount=type=cache,id=go-20007,target=/cache,uid=20007,gid=20007 go build" in lines


def test_the_line_renumbers_the_user_and_its_group(tmp_path: Path) -> None:
    passwd, group = tmp_path / "passwd", tmp_path / "group"
    passwd.write_text("root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
    group.write_text("root:x:0:\napp:x:1000:\n")
    run = next(line for line in with_own_user(TWO_STAGES, 20_007).split("\n") if line.startswith("RUN sed "))
    script = run.removeprefix("RUN ").partition("&& for")[0].rstrip("& ")

    subprocess.run(
        ["sh", "-c", script.replace("/etc/passwd", str(passwd)).replace("/etc/group", str(group))], check=True
    )

    assert passwd.read_text().splitlines()[1] == "app:x:20007:20007::/home/app:/bin/sh"
    assert group.read_text().splitlines()[1] == "app:x:20007:"


@pytest.mark.parametrize(("seat", "uid"), [(0, 20_000), (7, 20_007), (44_999, 64_999), (45_000, 20_000)])
def test_every_seat_has_a_number_inside_a_builds_namespace(seat: int, uid: int) -> None:
    assert user_of_seat(seat) == uid < 65_536
