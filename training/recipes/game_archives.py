"""Speech within a game's archive: (name, MP3) of each sound in ``queen.1c``, as the archive's own table lists them."""

import struct
from collections.abc import Iterator
from pathlib import Path

_HEADER_BYTES = 15  # of which the last two say how many sounds there are
_ENTRY = struct.Struct(">12sBII")  # name, bundle, offset and size in bytes


def queen(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Read the sounds of Flight of the Amazon Queen; what is said has a name that ends in ``.SB``."""
    data = archive.read_bytes()
    for number in range(struct.unpack_from(">H", data, _HEADER_BYTES - 2)[0]):
        name, _, offset, size = _ENTRY.unpack_from(data, _HEADER_BYTES + number * _ENTRY.size)
        yield name.rstrip(b"\0").decode("latin-1"), data[offset : offset + size]
