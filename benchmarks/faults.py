"""What a benchmark says of an artifact or a run that it cannot have."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from model_store.errors import StoreError


@contextmanager
def or_a_sentence() -> Iterator[None]:
    """End the process with a sentence instead of a traceback where what it was given is at fault."""
    try:
        yield
    except (StoreError, OSError) as error:
        sys.exit(f"cannot measure: {error}")
