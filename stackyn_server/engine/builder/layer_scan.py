"""Check the headers of a layer's tar before the engine unpacks it.

The file's size bounds what the layer holds, with two exceptions: a sparse member can claim any size (1 TB of zeros from
1 KB), and every member costs an inode. Members are skipped exactly as by Go's archive/tar, which the engine uses; a
header that could be read in two ways is refused.
"""

from __future__ import annotations

import os

from stackyn_server.engine.builder.image_refused import ImageRefused, malformed

_BLOCK = 512
_END = bytes(_BLOCK)
_REGULAR = frozenset(b"0\0")
_WITHOUT_DATA = frozenset(b"123456")  # links, devices, folders, FIFOs: their size field is ignored
_EXTENDED = frozenset(b"xgLK")
_EXTENDED_BYTES = 1024 * 1024  # Go's own limit


def count_members(descriptor: int, size: int, most: int) -> int:
    """Return the number of members of a layer. Blocks. Raises `ImageRefused` for more than `most`, and for headers that
    no builder writes."""
    members, at = 0, 0
    extended, next_size = False, None  # from headers about the next member
    while at < size:
        header = os.pread(descriptor, _BLOCK, at)
        at += _BLOCK
        if header == _END and os.pread(descriptor, _BLOCK, at) in (_END, b""):
            return members
        kind, data_bytes = _read(header, extended)
        if kind in _EXTENDED:
            if data_bytes > _EXTENDED_BYTES:
                raise malformed("an extended header of a layer is too large")
            extended = True
            if kind == ord("x"):
                next_size = _pax_size(os.pread(descriptor, data_bytes, at))
            elif kind == ord("g"):
                next_size = None  # Go ignores a global header's size, and forgets that of an earlier header
        else:
            members += 1
            if next_size is not None:
                data_bytes = next_size
            if kind in _WITHOUT_DATA:
                data_bytes = 0
            extended, next_size = False, None
        if members > most:
            raise ImageRefused(
                f"The image has more than {most} files in one layer.",
                "Copy less into the image, for example with a .dockerignore, then deploy again.",
            )
        at += -(-data_bytes // _BLOCK) * _BLOCK
    if at >= size + _BLOCK:
        raise malformed("a layer is cut off")
    return members


def _read(header: bytes, extended: bool) -> tuple[int, int]:
    """Return type and size of a header. A wrong checksum hides nothing: it stops Go."""
    if len(header) < _BLOCK:
        raise malformed("a layer is cut off")
    kind = header[156]
    if kind not in _REGULAR and kind not in _WITHOUT_DATA and kind not in _EXTENDED:
        raise malformed(f"a layer has a member of type {kind}")  # "S" is a sparse file
    if kind == 0:  # the format before 1988: Go takes a name with a slash at its end for a folder without data
        name = header[:100].partition(b"\0")[0]
        if extended or not name or name.endswith(b"/"):
            raise malformed("a layer has a folder in the form of before 1988")
    return kind, _number(header[124:136])


def _number(field: bytes) -> int:
    """Octal digits or, with the first bit set, base 256."""
    if field[0] & 0x80:
        if field[0] & 0x40:
            raise malformed("a layer has a negative size")
        number = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    else:
        digits = field.strip(b" \0")
        if digits.strip(b"01234567"):
            raise malformed("a layer has a size that is no number")
        number = int(digits, 8) if digits else 0
    if number >= 1 << 63:
        raise malformed("a layer has a size that is no number")
    return number


def _pax_size(records: bytes) -> int | None:
    """Return the size that PAX records give to the next member. POSIX.1-2001: `<length> <key>=<value>\\n`, the length
    counting all of it."""
    at, size = 0, None
    while at < len(records):
        space = records.find(b" ", at, at + 20)
        length = records[at:space] if space > 0 else b""
        if not length.isdigit() or int(length) < 5:
            raise malformed("a layer has a broken extended header")
        record = records[space + 1 : at + int(length)]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or at + int(length) > len(records):
            raise malformed("a layer has a broken extended header")
        if key.startswith(b"GNU.sparse"):
            raise malformed("a layer has a sparse file")
        if key == b"size":
            if not value[:-1].isdigit():
                raise malformed("a layer has a size that is no number")
            size = int(value[:-1])
        at += int(length)
    return size
