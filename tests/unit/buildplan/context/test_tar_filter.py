"""The tar filter: whatever the chunks, what comes out is a tar of the right members with their contents."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from stackyn_server.buildplan.context.dockerignore import IgnoreRules, parse
from stackyn_server.buildplan.context.tar_filter import TarFilter

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 99\n"


def tar_of(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """Make a tar as git does: pax headers for what does not fit, folders as members, 10 KiB padding."""
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "c" * 40}
    ) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            if path.endswith("/"):
                member.type = tarfile.DIRTYPE
            tar.addfile(member, io.BytesIO(content))
        for path, target in (links or {}).items():
            link = tarfile.TarInfo(path)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return buffer.getvalue()


def filtered(data: bytes, filtering: TarFilter, chunk: int = 1000) -> dict[str, bytes | str]:
    out = b"".join(filtering.feed(data[start : start + chunk]) for start in range(0, len(data), chunk))
    contents: dict[str, bytes | str] = {}
    with tarfile.open(fileobj=io.BytesIO(out + filtering.end()), errorlevel=2) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            contents[member.name] = content.read() if content else member.linkname
    return contents


def test_ignored_files_stay_out_and_kept_ones_do_not() -> None:
    data = tar_of({"a.txt": b"a", "b/": b"", "b/c.txt": b"c", "Dockerfile": b"FROM x"})
    filtering = TarFilter(IgnoreRules(parse("*\n!b/c.txt")), extra={}, keep=("Dockerfile",))
    assert filtered(data, filtering) == {"b/c.txt": b"c", "Dockerfile": b"FROM x"}


def test_only_what_is_below_the_root_goes_on_without_its_name() -> None:
    data = tar_of({"web/": b"", "web/a": b"1", "web/b/c": b"2", "webs/a": b"3", "a": b"4"})
    assert filtered(data, TarFilter(IgnoreRules(()), root="web", extra={})) == {"a": b"1", "b/c": b"2"}


def test_the_repository_cannot_redirect_added_members() -> None:
    data = tar_of({".stackyn/other": b"x", "a": b"a"}, links={".stackyn": "/etc"})
    filtering = TarFilter(IgnoreRules(()), extra={".stackyn/Dockerfile": b"FROM y"})
    assert filtered(data, filtering) == {".stackyn/Dockerfile": b"FROM y", "a": b"a"}


def test_links_and_long_names_survive() -> None:
    long = "d/" * 60 + "n" * 150
    data = tar_of({long: b"long", "ünï.txt": b"u"}, links={"l": "../../" + "t" * 150, "m": "a"})
    contents = filtered(data, TarFilter(IgnoreRules(()), extra={}))
    assert contents == {long: b"long", "ünï.txt": b"u", "l": "../../" + "t" * 150, "m": "a"}


def test_modes_and_times_are_passed_on() -> None:
    member = tarfile.TarInfo("run.sh")
    member.mode, member.mtime = 0o755, 1_700_000_000
    filtering = TarFilter(IgnoreRules(()), extra={})
    out = filtering.feed(member.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)) + filtering.end()
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        (passed,) = tar.getmembers()
    assert (passed.mode, passed.mtime) == (0o755, 1_700_000_000)


def test_lfs_pointers_are_named_for_the_build_log() -> None:
    filtering = TarFilter(IgnoreRules(parse("ignored.bin")), extra={})
    filtered(tar_of({"movie.bin": LFS_POINTER, "ignored.bin": LFS_POINTER, "a.txt": b"version 2"}), filtering)
    (sentence,) = filtering.missing()
    assert "movie.bin" in sentence and "ignored.bin" not in sentence and "a.txt" not in sentence


def test_an_empty_archive_still_carries_the_added_members() -> None:
    assert filtered(b"", TarFilter(IgnoreRules(()), extra={"Dockerfile": b"FROM x"})) == {
        "Dockerfile": b"FROM x"
    }


names = st.text("ab/é" + "n" * 3, min_size=1, max_size=140).filter(
    lambda n: all(n.split("/")) and n not in (".", "..")
)
trees = st.dictionaries(names, st.binary(max_size=3000), max_size=8)


@given(trees, st.integers(1, 5000))
def test_any_chunking_gives_the_same_members(tree: dict[str, bytes], chunk: int) -> None:
    ignore = IgnoreRules(parse("a*\n!ab"))
    contents = filtered(tar_of(tree), TarFilter(ignore, extra={}), chunk)
    assert contents == {path: content for path, content in tree.items() if not ignore.excludes(path)}
