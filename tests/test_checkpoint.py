"""A checkpoint is data: what is in it is read, never run, and nothing in it reaches outside it."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints import (
    ORDERED_DICT,
    numbers,
    state_dict_pickle,
    tensor_pickle,
    text,
    write_archive,
    write_checkpoint,
)
from training.checkpoint import read_checkpoint
from training.state_dict import CheckpointError, read_state_dict

TENSORS = {
    "layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "layer.bias": np.array([1.5], np.float32),
    "count": np.array(7, np.float32),
}


class Touched:
    """What an attack can change: its class has no business changing."""

    value = "as it was"


class Reduced:
    """Pickles as a call, as the usual attack does."""

    def __init__(self, marker: Path) -> None:
        self.call = (os.system, (f"touch {marker}",))

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return self.call


def python(marker: Path) -> bytes:
    return text(f"open({str(marker)!r}, 'w').close()")


# Each makes of a path a pickle that, unpickled, leaves a file there.
ATTACKS: dict[str, Callable[[Path], bytes]] = {
    "a call of os.system": lambda marker: pickle.dumps(Reduced(marker), protocol=2),
    "the same in a later protocol": lambda marker: pickle.dumps(Reduced(marker), protocol=4),
    "the same as text": lambda marker: pickle.dumps(Reduced(marker), protocol=0),
    "exec": lambda marker: b"\x80\x02cbuiltins\nexec\n(" + python(marker) + b"tR.",
    "eval": lambda marker: b"\x80\x02cbuiltins\neval\n(" + python(marker) + b"tR.",
    "INST": lambda marker: b"(" + python(marker) + b"ibuiltins\nexec\n.",
    "OBJ": lambda marker: b"(cbuiltins\nexec\n" + python(marker) + b"o.",
    "STACK_GLOBAL": lambda marker: b"\x80\x04" + text("builtins") + text("exec") + b"\x93(" + python(marker) + b"tR.",
    "in the value of a state dict": lambda marker: state_dict_pickle(
        [("layer.weight", b"cbuiltins\nexec\n(" + python(marker) + b"tR")]
    ),
    "in a tuple that is thrown away": lambda marker: (
        b"\x80\x02((cbuiltins\nexec\n(" + python(marker) + b"tRtt0" + state_dict_pickle([])[2:]
    ),
    "in the state of a state dict": lambda marker: (
        b"\x80\x02" + ORDERED_DICT + b"}" + text("x") + b"cbuiltins\nexec\n(" + python(marker) + b"tRsb."
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_pickle_would_run_is_refused(attack: str, tmp_path: Path) -> None:
    marker = tmp_path / "was_here"
    pickled = ATTACKS[attack](marker)
    with pytest.raises(CheckpointError, match="Received: "):
        read_checkpoint(write_archive(tmp_path / "made.pth", pickled, {}))
    assert not marker.exists()
    pickle.loads(pickled)  # noqa: S301 (it is an attack indeed)
    assert marker.exists()


def test_no_attribute_of_anything_is_set(tmp_path: Path) -> None:
    change = b"N}" + text("value") + text("touched") + b"s\x86b."
    pickled = f"\x80\x02c{__name__}\nTouched\n".encode("latin-1") + change
    with pytest.raises(CheckpointError, match="names OrderedDict, tensors and storages alone. Received: 'tests"):
        read_state_dict(pickled)
    with pytest.raises(CheckpointError):  # nor of what is allowed
        read_state_dict(b"\x80\x02ccollections\nOrderedDict\n" + change)
    with pytest.raises(CheckpointError, match="A dictionary alone is given a state"):
        read_state_dict(b"\x80\x02ccollections\nOrderedDict\n}b.")
    assert Touched.value == "as it was"
    pickle.loads(pickled)  # noqa: S301
    assert Touched.value == "touched"
    Touched.value = "as it was"


def test_a_key_that_takes_for_ever_to_hash_is_refused() -> None:
    doubled = b"".join(b"q\x00h\x00\x86" for _ in range(200))  # (x, x) of itself, 200 deep: 2 ** 200 hashes
    with pytest.raises(CheckpointError, match="keys are text"):
        read_state_dict(b"\x80\x02})" + doubled + b")s.")


def test_a_state_dict_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = read_checkpoint(write_checkpoint(tmp_path / "made.pth", TENSORS))
    assert list(found) == list(TENSORS)
    for name, values in TENSORS.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], values)
        assert found[name].flags.c_contiguous


def test_a_view_of_a_storage_is_resolved(tmp_path: Path) -> None:
    numbers_0_to_11 = np.arange(12, dtype="<i8")
    view = tensor_pickle("0", (2, 3), offset=1, strides=(1, 4), length=12, kind="LongStorage")
    path = write_archive(tmp_path / "made.pth", state_dict_pickle([("x", view)]), {"0": numbers_0_to_11.tobytes()})
    assert read_checkpoint(path)["x"].tolist() == [[1, 5, 9], [2, 6, 10]]


OUTSIDE = {
    "one too many": tensor_pickle("0", (13,), length=12),
    "from too far on": tensor_pickle("0", (12,), offset=1, length=12),
    "too long a stride": tensor_pickle("0", (2, 3), strides=(6, 3), length=12),
    "a stride backwards": tensor_pickle("0", (3,), strides=(-1,), offset=5, length=12),
    "from before the start": tensor_pickle("0", (3,), offset=-1, length=12),
    "a negative length": tensor_pickle("0", (-3,), length=12),
    "no elements, far away": tensor_pickle("0", (0, 2**31 - 1), length=12),
    "as many as one likes": tensor_pickle("0", (2**14, 2**14), strides=(0, 0), length=12),
    "more dimensions than strides": tensor_pickle("0", (2, 2), strides=(1,), length=12),
    "nine dimensions": tensor_pickle("0", (1,) * 9, length=12),
    "a storage longer than its entry": tensor_pickle("0", (2**20,), length=2**20),
    "a storage shorter than its entry": tensor_pickle("0", (6,), length=6),
    "a storage of another type": tensor_pickle("0", (12,), length=12, kind="DoubleStorage"),
    "a storage of a type that is not read": tensor_pickle("0", (12,), length=12, kind="QInt8Storage"),
    "an entry that is not there": tensor_pickle("1", (12,), length=12),
    "an entry elsewhere": tensor_pickle("../version", (12,), length=12),
    "no storage": b"ctorch._utils\n_rebuild_tensor_v2\n(K\x00K\x00" + numbers([1]) * 2 + b"\x89" + ORDERED_DICT + b"tR",
    "a shape of text": b"X\x01\x00\x00\x00x",
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_tensor_lies_within_its_storage(case: str, tmp_path: Path) -> None:
    storages = {"0": np.arange(12, dtype="<f4").tobytes()}
    path = write_archive(tmp_path / "made.pth", state_dict_pickle([("x", OUTSIDE[case])]), storages)
    with pytest.raises(CheckpointError, match="Received: "):
        read_checkpoint(path)


def test_numbers_are_finite(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="finite"):
        read_checkpoint(write_checkpoint(tmp_path / "made.pth", {"x": np.array([1, np.nan], np.float32)}))


def test_what_is_packed_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = write_archive(
        tmp_path / "bomb.pth",
        state_dict_pickle([("x", tensor_pickle("0", (1 << 24,)))]),
        {"0": bytes(4 << 24)},
        compression=zipfile.ZIP_DEFLATED,
    )
    assert bomb.stat().st_size < 1 << 17  # 64 MiB in it
    with pytest.raises(CheckpointError, match="stored as they are. Received: one that is packed"):
        read_checkpoint(bomb)


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "overlapping.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", state_dict_pickle([]))
        archive.writestr("archive/data/0", bytes(100_000))
        for key in range(1, 20):
            twin = zipfile.ZipInfo(f"archive/data/{key}")
            original = archive.getinfo("archive/data/0")
            twin.header_offset, twin.CRC = original.header_offset, original.CRC
            twin.file_size = twin.compress_size = original.file_size
            archive.filelist.append(twin)
    with pytest.raises(CheckpointError, match="share no bytes"):
        read_checkpoint(path)


def test_names_are_those_of_one_state_dict(tmp_path: Path) -> None:
    nested = state_dict_pickle([("model", b"}")])
    with pytest.raises(CheckpointError, match="maps names to tensors"):
        read_checkpoint(write_archive(tmp_path / "nested.pth", nested, {}))
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="has one <name>/data.pkl"):
        read_checkpoint(tmp_path / "other.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C))  # as PyTorch wrote before 1.6
    with pytest.raises(CheckpointError, match="whole zip archive. Received: old.pth"):
        read_checkpoint(tmp_path / "old.pth")


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_cut_short_or_damaged_it_is_read_right_or_refused(tmp_path: Path) -> None:
    whole = write_checkpoint(tmp_path / "made.pth", TENSORS).read_bytes()
    damaged = tmp_path / "damaged.pth"
    for length in range(0, len(whole), 7):
        damaged.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(damaged)
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(whole), 300):
        flipped = bytearray(whole)
        flipped[place] ^= int(rng.integers(1, 256))
        damaged.write_bytes(flipped)
        try:
            assert all(np.isfinite(values).all() for values in read_checkpoint(damaged).values())
        except CheckpointError:
            refused += 1
    assert refused > 100


# `pickletools` undoes the escapes of text before its opcode is seen to be none of ours.
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_a_pickle_cut_short_or_damaged_is_refused_or_describes_tensors() -> None:
    whole = state_dict_pickle([(name, tensor_pickle("0", values.shape)) for name, values in TENSORS.items()])
    assert set(read_state_dict(whole)) == set(TENSORS)
    for length in range(len(whole)):
        with pytest.raises(CheckpointError):
            read_state_dict(whole[:length])
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 2_000):
        flipped = bytearray(whole)
        flipped[place] ^= int(rng.integers(1, 256))
        try:
            read_state_dict(bytes(flipped))
        except CheckpointError as error:
            assert "Received: " in str(error)  # noqa: PT017 (either is right)


@pytest.mark.parametrize(("name", "parameters"), [("AASIST.pth", 297_866), ("AASIST-L.pth", 85_306)])
def test_pytorchs_own_files_are_read(name: str, parameters: int, shared_data: Callable[[str], Path]) -> None:
    tensors = read_checkpoint(shared_data("aasist") / name)
    learned = [t for key, t in tensors.items() if not key.endswith(("running_mean", "running_var", "batches_tracked"))]
    assert sum(tensor.size for tensor in learned) == parameters
    assert tensors["first_bn.num_batches_tracked"].dtype == np.int64
