"""What an account occupies of the disk against its plan's limit."""

from __future__ import annotations

import pytest

from stackyn_server.domain.disk_use import DiskUse, check_disk_use
from stackyn_server.errors import Forbidden

MIB = 1024 * 1024


def test_account_above_its_disk_is_told_what_occupies_it() -> None:
    use = DiskUse(apps_bytes=30 * MIB, images_bytes=70 * MIB, caches_bytes=900 * MIB, logs_bytes=MIB + 1)
    with pytest.raises(Forbidden) as caught:
        check_disk_use(use, 100)
    assert caught.value.code == "QUOTA_DISK"
    assert caught.value.message == (
        "Your apps occupy 102 MB of the 100 MB of disk in your plan: "
        "30 MB that they wrote, 70 MB of images and 2 MB of logs."
    )


def test_caches_get_what_the_rest_leaves_and_stop_no_build() -> None:
    use = DiskUse(apps_bytes=30 * MIB, images_bytes=60 * MIB, caches_bytes=900 * MIB, logs_bytes=MIB)
    check_disk_use(use, 100)
    assert use.left_for_caches(100) == 9 * MIB
    assert use.left_for_caches(50) == 0
