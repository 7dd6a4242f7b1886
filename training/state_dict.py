"""The pickle of a PyTorch state dict -> names, shapes and where their numbers are, without running it.

A pickle is a program, and `pickle` runs it, with whatever it calls. Here `pickletools` splits it into opcodes, and the
table `_OPCODES` has those of a state dict alone: text, numbers, tuples, dictionaries, and two calls that are names and
no functions. There is nothing in it that could import, call or set an attribute.
"""

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

_ORDERED_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_DTYPES = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    "torch LongStorage": "<i8",
}
_DIMENSIONS = 8


class CheckpointError(ValueError):
    """A file that is not a checkpoint which is read here. The message says the rule and what was received."""


class Storage(NamedTuple):
    """Numbers in a row, in an entry of the checkpoint."""

    dtype: str
    key: str
    length: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count its elements. No number is negative."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Name(NamedTuple):
    """A module and a name in it that the pickle asks for. It is never looked up."""

    text: str


def read_state_dict(pickled: bytes) -> dict[str, Tensor]:
    """The tensors of a state dict by their names, as the pickle describes them.

    Raises
    ------
    CheckpointError
        Cut short, ill formed, or anything but a state dict.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name not in _OPCODES:
                refuse("A state dict is pickled with few opcodes", opcode.name)
            _OPCODES[opcode.name](machine, argument)
        (found,) = machine.stack
    except CheckpointError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise CheckpointError(
            f"The pickle of a checkpoint is whole and well formed. Received: {len(pickled)} bytes that are not."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        refuse("A state dict maps names to tensors, and to nothing else", "another object")
    return found


def refuse(rule: str, received: str) -> NoReturn:
    """Raise the CheckpointError that says both."""
    raise CheckpointError(f"{rule}. Received: {received}.")


class _Machine:
    """The stack of pickle's virtual machine, and what its opcodes do to it.

    It holds dictionaries with text as keys, tuples, numbers, text, and the named tuples above.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[Any]:
        return self.last(len(self.stack) - self.marks.pop())

    def last(self, count: int) -> list[Any]:
        if not 0 <= count <= len(self.stack):
            raise IndexError
        first = len(self.stack) - count
        items = self.stack[first:]
        del self.stack[first:]
        return items

    def remember(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def fill(self, items: list[Any]) -> None:
        target, names = self.stack[-1], items[::2]
        # Text alone: the hash of a deep tuple can take longer than anyone waits.
        if not isinstance(target, dict) or not all(isinstance(name, str) for name in names):
            refuse("A dictionary's keys are text", "something else")
        target.update(zip(names, items[1::2], strict=True))

    def name(self, text: str) -> None:
        if text not in {_ORDERED_DICT, _TENSOR, *_DTYPES}:
            refuse("A state dict names OrderedDict, tensors and storages alone", repr(text[:80]))
        self.push(_Name(text))

    def storage(self) -> None:
        match self.stack.pop():
            case ("storage", _Name(kind), str(key), str(), int(length)) if kind in _DTYPES and length >= 0:
                self.push(Storage(_DTYPES[kind], key, length))
            case _:
                refuse("A storage is given by its type, key, device and length", "something else")

    def call(self) -> None:
        match self.last(2):
            case [_Name(text), ()] if text == _ORDERED_DICT:
                self.push({})
            case [_Name(text), (Storage() as storage, offset, tuple(shape), tuple(strides), *_)] if text == _TENSOR:
                if not all(type(number) is int and number >= 0 for number in (offset, *shape, *strides)):
                    refuse("Offset, shape and strides are whole numbers from 0 on", "others")
                if len(shape) != len(strides) or len(shape) > _DIMENSIONS:
                    refuse(f"A tensor has at most {_DIMENSIONS} dimensions, each with a stride", f"{len(shape)}")
                self.push(Tensor(storage, offset, shape, strides))
            case _:
                refuse("A state dict calls for an empty OrderedDict and for tensors alone", "another call")

    def state(self) -> None:
        """The state of a dictionary is the versions of the model's layers, which are nothing to us."""
        target, _ = self.last(2)
        if not isinstance(target, dict):
            refuse("A dictionary alone is given a state", "something else")
        self.push(target)


_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda _machine, _: None,
    "STOP": lambda _machine, _: None,
    "BINUNICODE": _Machine.push,
    "BININT": _Machine.push,
    "BININT1": _Machine.push,
    "BININT2": _Machine.push,
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": lambda machine, _: machine.mark(),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.last(3))),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "SETITEM": lambda machine, _: machine.fill(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.fill(machine.since_mark()),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "BINGET": lambda machine, place: machine.push(machine.memo[place]),
    "LONG_BINGET": lambda machine, place: machine.push(machine.memo[place]),
    "GLOBAL": _Machine.name,
    "BINPERSID": lambda machine, _: machine.storage(),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.state(),
}
