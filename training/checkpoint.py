"""A PyTorch checkpoint (.pth) -> arrays by name, without PyTorch and without running anything that is in it.

Such a file is a zip archive: ``<name>/data.pkl``, which `training.state_dict` reads, and ``<name>/data/<key>``, the
bytes of one storage each. PyTorch packs nothing, and what is packed is refused: no file is larger inside than outside.
"""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.state_dict import CheckpointError, Tensor, read_state_dict, refuse

Tensors = dict[str, npt.NDArray[Any]]

_MAX_BYTES = 256 << 20  # of the file, and again of its tensors; AASIST has 1.3 MB
_MAX_PICKLE_BYTES = 4 << 20
_MAX_ENTRIES = 10_000


def read_checkpoint(path: Path) -> Tensors:
    """Read the state dict of a model, as `torch.save` has written it since PyTorch 1.6.

    Returns
    -------
    Each tensor by its name, C-contiguous, float16, float32, float64 or int64; every number is finite.

    Raises
    ------
    CheckpointError
        Not such a file, cut short, packed, or larger than 256 MiB; a pickle that asks for anything but a state dict; a
        tensor that reaches outside its storage.
    OSError
    """
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        refuse(f"A checkpoint has at most {_MAX_BYTES} bytes", "more")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _Checkpoint(archive, size=len(data)).tensors()
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"A checkpoint is a whole zip archive. Received: {path.name}, which is not.") from error


class _Checkpoint:
    """An archive that has kept the rules of its directory."""

    def __init__(self, archive: zipfile.ZipFile, *, size: int) -> None:
        listed = archive.infolist()
        entries = {entry.filename: entry for entry in listed}
        if len(listed) != len(entries) or len(entries) > _MAX_ENTRIES:
            refuse(f"A checkpoint has at most {_MAX_ENTRIES} entries, each named once", f"{len(listed)}")
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in listed):
            refuse("The entries of a checkpoint are stored as they are", "one that is packed or encrypted")
        total = sum(entry.file_size for entry in listed)
        if total > size:
            refuse("The entries of a checkpoint share no bytes", f"{total} bytes in a file of {size}")
        pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1 or entries[pickles[0]].file_size > _MAX_PICKLE_BYTES:
            refuse(
                f"A checkpoint has one <name>/data.pkl, of at most {_MAX_PICKLE_BYTES} bytes", f"{len(pickles)} of any"
            )
        self._archive, self._entries = archive, entries
        self._folder = pickles[0].removesuffix("data.pkl")
        self._storages: dict[str, bytes] = {}

    def tensors(self) -> Tensors:
        """Each tensor, copied out of its storage."""
        order = f"{self._folder}byteorder"  # written since PyTorch 2.1
        if order in self._entries and self._archive.read(order) != b"little":
            refuse("A checkpoint is little-endian", "one that is not")
        described = read_state_dict(self._archive.read(f"{self._folder}data.pkl"))
        total = sum(math.prod(tensor.shape) * np.dtype(tensor.storage.dtype).itemsize for tensor in described.values())
        if total > _MAX_BYTES:
            refuse(f"The tensors of a checkpoint have at most {_MAX_BYTES} bytes", f"{total}")
        return {name: self._tensor(tensor) for name, tensor in described.items()}

    def _tensor(self, tensor: Tensor) -> npt.NDArray[Any]:
        storage, offset, shape, strides = tensor
        last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
        if 0 in shape or last >= storage.length:
            refuse("A tensor has elements, and all within its storage", f"element {last} of {storage.length}")
        values = np.frombuffer(self._bytes(tensor), storage.dtype)[offset:]
        steps = [stride * values.itemsize for stride in strides]
        array = np.lib.stride_tricks.as_strided(values, shape, steps).copy()
        if not np.isfinite(array).all():
            refuse("The numbers of a checkpoint are finite", "a tensor with NaN or infinity")
        return array

    def _bytes(self, tensor: Tensor) -> bytes:
        name = f"{self._folder}data/{tensor.storage.key}"
        expected = tensor.storage.length * np.dtype(tensor.storage.dtype).itemsize
        if name not in self._entries or self._entries[name].file_size != expected:
            refuse(f"A storage has an entry of its own size, {expected} bytes", "none, or one of another size")
        if name not in self._storages:
            self._storages[name] = self._archive.read(name)
        return self._storages[name]
