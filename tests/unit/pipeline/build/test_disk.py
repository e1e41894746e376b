from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stackyn_server.domain.failures import FailureCode, TransientFailure
from stackyn_server.pipeline.build.disk import require_disk_space

MEBIBYTE = 1024**2


async def test_enough_disk_space_says_nothing(tmp_path: Path) -> None:
    await require_disk_space((tmp_path, tmp_path / "not" / "there" / "yet"), 0)


async def test_too_little_in_one_of_the_places_is_tried_again_later(tmp_path: Path) -> None:
    more_than_there_is = shutil.disk_usage(tmp_path).total // MEBIBYTE + 1
    with pytest.raises(TransientFailure) as refused:
        await require_disk_space((tmp_path / "not" / "there" / "yet",), more_than_there_is)
    assert refused.value.failure.code is FailureCode.NO_DISK
    assert refused.value.retryable
