"""Images of the engine, another tenant's code among them, mean nothing to a build."""

from __future__ import annotations

import uuid

import pytest

from stackyn_server.domain.failures import FailureCode
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.client import Engine
from tests.engine.hostile_builds.attack import Make, run, run_by_the_engine
from tests.engine.parts import busybox_files, imported, tar

TAKING = {
    "FROM": 'FROM {image}\nRUN ["/bin/cat", "/secret"]\n',
    "COPY --from": "FROM {base}\nCOPY --from={image} /secret /\nRUN cat /secret\n",
}


@pytest.mark.parametrize("by", ["beginning of its id", "name"])
@pytest.mark.parametrize("taking", TAKING)
async def test_build_can_not_take_an_image_of_the_engine(
    engine: Engine, base_image: str, builder: Builder, build_request: Make, by: str, taking: str
) -> None:
    secret, version = uuid.uuid4().hex, uuid.uuid4().hex[:12]
    image = await imported(engine, tar({**busybox_files(), "secret": secret.encode()}))
    try:
        name = {"repo": "stackyn-test/neighbour", "tag": version}
        await engine.request("POST", f"images/{image}/tag", params=name)
        taken = ":".join(name.values()) if by == "name" else image.removeprefix("sha256:")[:12]
        dockerfile = TAKING[taking].format(image=taken, base=base_image)
        assert secret in await run_by_the_engine(engine, dockerfile), "open: the engine hands it out"

        result = await run(builder, build_request(), dockerfile)
    finally:
        await engine.request("DELETE", f"images/{image}", params={"force": "true"})

    assert result.error is not None and result.error.failure.code is FailureCode.BUILD_FAILED
    assert taken in result.error.message
    assert secret not in result.output
