from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from stackyn_server.security.keys import KeysUnusable, load_keys


def test_keys_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    first = load_keys(directory)
    assert load_keys(directory) == first
    assert len(first.signing) == 32 and set(first.sealing) == {1}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert {path.name for path in directory.iterdir()} == {"signing", "sealing-1"}


def test_two_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    loaded = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        loaded.append(load_keys(tmp_path / "keys"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({keys.signing for keys in loaded}) == len({keys.sealing[1] for keys in loaded}) == 1
    assert len(loaded) == 8


def test_a_key_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    load_keys(tmp_path)
    os.chmod(tmp_path / "signing", 0o644)
    with pytest.raises(KeysUnusable) as raised:
        load_keys(tmp_path)
    assert f"chmod 600 {tmp_path / 'signing'}" in raised.value.hint


def test_a_cut_off_key_is_refused_and_never_replaced(tmp_path: Path) -> None:
    load_keys(tmp_path)
    (tmp_path / "sealing-1").write_bytes(b"short")
    with pytest.raises(KeysUnusable, match="5 bytes"):
        load_keys(tmp_path)
    assert (tmp_path / "sealing-1").read_bytes() == b"short"


def test_a_key_shows_in_no_representation(tmp_path: Path) -> None:
    keys = load_keys(tmp_path)
    assert repr(keys.signing)[2:-1] not in repr(keys)


def test_derived_keys_differ_by_purpose(tmp_path: Path) -> None:
    keys = load_keys(tmp_path)
    assert keys.derive("codes") == keys.derive("codes")
    assert len({keys.derive("codes"), keys.derive("mail"), keys.signing}) == 3
