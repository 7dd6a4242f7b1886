"""Made checkpoints, written as `torch.save` writes them, byte by byte: PyTorch is no dependency here."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def write_checkpoint(path: Path, tensors: Mapping[str, Array]) -> Path:
    """A checkpoint of float32 tensors."""
    described = [(name, tensor_pickle(str(key), values.shape)) for key, (name, values) in enumerate(tensors.items())]
    storages = {str(key): values.astype("<f4").tobytes() for key, values in enumerate(tensors.values())}
    return write_archive(path, state_dict_pickle(described), storages)


def write_archive(
    path: Path, pickled: bytes, storages: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED
) -> Path:
    """The archive around a pickle."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", b"little")
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", b"3\n")
    return path


def state_dict_pickle(items: Sequence[tuple[str, bytes]]) -> bytes:
    """Names and the pickles of their values, without PROTO and STOP -> the pickle of a state dict."""
    body = b"".join(text(name) + value for name, value in items)
    metadata = b"}" + text("_metadata") + ORDERED_DICT + b"(" + text("") + b"}" + text("version") + number(1) + b"susb"
    return b"\x80\x02" + ORDERED_DICT + b"(" + body + b"u" + metadata + b"."


def tensor_pickle(
    key: str,
    shape: Sequence[int],
    *,
    offset: int = 0,
    strides: Sequence[int] | None = None,
    length: int | None = None,
    kind: str = "FloatStorage",
) -> bytes:
    """A call of ``_rebuild_tensor_v2``; by default of a C-contiguous tensor with a storage of its own."""
    if strides is None:
        strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    storage = text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu")
    reference = b"(" + storage + number(int(np.prod(shape)) if length is None else length) + b"tQ"
    view = number(offset) + numbers(shape) + numbers(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + view + b"\x89" + ORDERED_DICT + b"tR"


def text(value: str) -> bytes:
    """BINUNICODE."""
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def number(value: int) -> bytes:
    """BININT."""
    return b"J" + value.to_bytes(4, "little", signed=True)


def numbers(values: Sequence[int]) -> bytes:
    """MARK .. TUPLE."""
    return b"(" + b"".join(number(value) for value in values) + b"t"


def made_aasist(options: Mapping[str, Any], *, seed: int = 0) -> dict[str, Array]:
    """A state dict with the names and the shapes of AASIST's, and random numbers that keep signals at their level."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}

    def add(name: str, *shape: int) -> None:
        fan_in = int(np.prod(shape[1:])) or 1
        tensors[name] = (rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)

    def linear(name: str, outputs: int, inputs: int) -> None:
        add(f"{name}.weight", outputs, inputs)
        add(f"{name}.bias", outputs)

    def convolution(name: str, outputs: int, inputs: int, *kernel: int) -> None:
        add(f"{name}.weight", outputs, inputs, *kernel)
        add(f"{name}.bias", outputs)

    def normalisation(name: str, width: int) -> None:
        tensors[f"{name}.weight"] = rng.uniform(0.5, 2, width).astype(np.float32)
        add(f"{name}.bias", width)
        add(f"{name}.running_mean", width)
        tensors[f"{name}.running_var"] = rng.uniform(0.5, 2, width).astype(np.float32)
        tensors[f"{name}.num_batches_tracked"] = np.zeros((), np.float32)

    channels, (width, mixed) = options["channels"], options["gat_dims"]
    add("pos_S", 1, 23, channels[-1])
    add("master1", 1, 1, width)
    add("master2", 1, 1, width)
    normalisation("first_bn", 1)
    tensors["first_bn.running_mean"][:] = 0.02  # what the filters leave of a waveform is small
    tensors["first_bn.running_var"][:] = 1e-3
    for n, (inputs, outputs) in enumerate(zip((1, *channels), channels, strict=False)):
        if n > 0:
            normalisation(f"encoder.{n}.0.bn1", inputs)
        convolution(f"encoder.{n}.0.conv1", outputs, inputs, 2, 3)
        normalisation(f"encoder.{n}.0.bn2", outputs)
        convolution(f"encoder.{n}.0.conv2", outputs, outputs, 2, 3)
        if inputs != outputs:
            convolution(f"encoder.{n}.0.conv_downsample", outputs, inputs, 1, 3)
    for name in ("GAT_layer_S", "GAT_layer_T"):
        add(f"{name}.att_weight", width, 1)
        for part in ("att_proj", "proj_with_att", "proj_without_att"):
            linear(f"{name}.{part}", width, channels[-1])
        normalisation(f"{name}.bn", width)
    for name, inputs in (("ST11", width), ("ST12", mixed), ("ST21", width), ("ST22", mixed)):
        for kind in ("11", "22", "12", "M"):
            add(f"HtrgGAT_layer_{name}.att_weight{kind}", mixed, 1)
        for part in ("proj_type1", "proj_type2"):
            linear(f"HtrgGAT_layer_{name}.{part}", inputs, inputs)
        for part in ("att_proj", "proj_with_att", "proj_without_att"):
            linear(f"HtrgGAT_layer_{name}.{part}", mixed, inputs)
            linear(f"HtrgGAT_layer_{name}.{part}M", mixed, inputs)
        normalisation(f"HtrgGAT_layer_{name}.bn", mixed)
    for name, inputs in (("S", width), ("T", width), ("hS1", mixed), ("hT1", mixed), ("hS2", mixed), ("hT2", mixed)):
        linear(f"pool_{name}.proj", 1, inputs)
    linear("out_layer", 2, 5 * mixed)
    return tensors
