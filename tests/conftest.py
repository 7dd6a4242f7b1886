"""Fixtures that more than one test module uses."""

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving import Client, serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See that no two tests have the same id: processes side by side would run one of them, and not say so.

    Schemathesis' tests, one for each operation, have names of their own, which pytest leaves out of their ids.
    """
    for item in items:
        if item.parent is not None and item.name not in item.nodeid:
            item._id = item.parent.id.child(item.name)
    shared = [name for name, count in Counter(item.nodeid for item in items).items() if count > 1]
    if shared:
        raise pytest.UsageError(f"A test has an id of its own. Received several of {', '.join(shared)}.")


@pytest.fixture(scope="module", autouse=True)
def _only_what_is_new_is_collected() -> Iterator[None]:
    """What outlives a module stays, and is not looked at again: TensorFlow's graphs are millions of objects."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a folder of real data by its name; skips the test where it is not there.

    Looked for below ``BONAFIDE_SHARED_DATA``, or else in ``shared/data`` beside the repository.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("BONAFIDE_SHARED_DATA", beside))

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"No {name} here: set BONAFIDE_SHARED_DATA to the folder that has it.")
        return root / name

    return find


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of real artifacts, ``simple_cnn@1`` and ``other_cnn@1``. Not to be changed."""
    from tests.made_store import make_store  # noqa: PLC0415 (imports TensorFlow)

    return make_store(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def light_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of ``light@1``, for the onnx runtime, which loads in no time. Not to be changed."""
    from tests.light_store import make_light_store  # noqa: PLC0415 (imports onnx)

    return make_light_store(tmp_path_factory.mktemp("light"))


@pytest.fixture(scope="session")
def client(store: Path) -> Iterator[Client]:
    """A client of an app with default settings that has loaded both families and is ready."""
    with serving(store, models="simple_cnn,other_cnn") as ready:
        yield ready
