"""A pickle machine of our own. It can only do what this file says, and it calls only what its world allows."""

from __future__ import annotations

from collections.abc import Callable
from sys import getsizeof
from typing import Any, Protocol

from rushlight.serialization.budget import Budget
from rushlight.serialization.errors import Fault
from rushlight.serialization.keys import KeyGuard
from rushlight.serialization.opcodes import TABLE, Reader, refused

# Rough upper bounds of what CPython takes, in bytes, at the moment of growth.
SLOT, LIST, DICT, SET, PAIR, MEMBER, MARKED = 16, 64, 72, 232, 104, 144, 96


class World(Protocol):
    """What the machine knows of the outside: every name, call and object comes through here."""

    def find(self, module: str, name: str) -> Any: ...
    def call(self, function: Any, args: tuple[Any, ...]) -> Any: ...
    def new(self, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...
    def build(self, instance: Any, state: Any) -> None: ...
    def persistent(self, identity: Any) -> Any: ...
    def append_target(self, target: Any) -> Callable[[list[Any]], None] | None: ...
    def item_target(self, target: Any) -> Callable[[Any, Any], None] | None: ...


class Machine:
    """Runs one pickle. Every fault is raised as `Fault`; ``self.reader.file`` is left behind the pickle.

    ``size`` is where the file ends, ``encoding`` how byte strings of Python 2 become text ("bytes": not at all).
    """

    def __init__(self, file: Any, size: int, world: World, budget: Budget, encoding: str = "utf-8"):
        self.reader = Reader(file, size)
        self.world = world
        self.budget = budget
        self.encoding = encoding
        self.keys = KeyGuard()
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: list[Any] = []
        self.sparse_memo: dict[int, Any] = {}
        self.opcode = "start"

    def load(self) -> Any:
        """The object that the pickle describes."""
        reader, read, spend = self.reader, self.reader.read, self.budget.spend
        while True:
            code = read(1)
            row = ACTIONS.get(code)
            if row is None:
                raise refused(code)
            self.opcode, argument, action, cost = row
            if cost:
                spend(cost)
            if action is None:
                return self.result()
            if argument is not None:
                action(self, argument(reader))
            else:
                action(self)

    def result(self) -> Any:
        if self.marks or len(self.stack) != 1:
            raise Fault("the pickle does not leave exactly one object")
        return self.stack[0]

    # --- the stack ---
    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_sized(self, value: Any) -> None:
        self.budget.spend(getsizeof(value) + SLOT)
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise Fault("the stack is empty")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack:
            raise Fault("the stack is empty")
        return self.stack[-1]

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        if not self.marks:
            raise Fault("there is no mark")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def drop(self) -> None:
        # As in pickle: POP with nothing above the mark takes away the mark.
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    # --- values ---
    def protocol(self, version: int) -> None:
        if version > 5:
            raise Fault(f"unsupported pickle protocol: {version}")

    def byte_string(self, data: bytes) -> None:
        self.push_sized(data if self.encoding == "bytes" else data.decode(self.encoding))

    def make_tuple(self, items: list[Any]) -> None:
        self.push_sized(tuple(items))

    def last(self, count: int) -> None:
        if len(self.stack) < count:
            raise Fault("the stack is empty")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.push_sized(items)

    def extend(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is list:
            self.budget.spend(SLOT * len(items))
            target.extend(items)
            return
        add = self.world.append_target(target)
        if add is None:
            raise Fault(f"Can only append to lists, but got {type(target)}")
        add(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        store = target.__setitem__ if type(target) is dict else self.world.item_target(target)
        if store is None:
            raise Fault(f"Can only set items of dict, OrderedDict, Counter or defaultdict, but got {type(target)}")
        if len(items) % 2:
            raise Fault("a dictionary has a key without a value")
        self.budget.spend(PAIR * (len(items) // 2) * (1 if type(target) is dict else 2))
        check = self.keys.check
        for i in range(0, len(items), 2):
            key = items[i]
            if type(key) is not str:
                check(key)
            store(key, items[i + 1])

    def add_items(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not set:
            raise Fault(f"Can only add items to sets, but got {type(target)}")
        target.update(self.members(items))

    def members(self, items: list[Any]) -> list[Any]:
        self.budget.spend(MEMBER * len(items))
        for item in items:
            self.keys.check(item)
        return items

    # --- the memo ---
    def put(self, index: int) -> None:
        value = self.top()
        if index == len(self.memo):
            self.memo.append(value)
        elif index < len(self.memo):
            self.memo[index] = value
        else:
            self.budget.spend(PAIR)
            self.sparse_memo[index] = value

    def get(self, index: int) -> None:
        if index in self.sparse_memo:
            self.stack.append(self.sparse_memo[index])
        elif index < len(self.memo):
            self.stack.append(self.memo[index])
        else:
            raise Fault(f"memo entry {index} is read before it is written")

    def memoize(self) -> None:
        self.put(len(self.memo) + len(self.sparse_memo))

    # --- names and objects, all through the world ---
    def find(self, name: tuple[str, str]) -> None:
        self.stack.append(self.world.find(*name))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise Fault("STACK_GLOBAL needs two strings")
        self.find((module, name))

    def reduce(self) -> None:
        args, function = self.pop(), self.pop()
        if type(args) is not tuple:
            raise Fault(f"arguments must be a tuple, got {type(args)}")
        self.stack.append(self.world.call(function, args))

    def new_object(self, kwargs: Any) -> None:
        args, cls = self.pop(), self.pop()
        if type(args) is not tuple or type(kwargs) is not dict:
            raise Fault("a new object needs a tuple of arguments and a dict of keyword arguments")
        self.stack.append(self.world.new(cls, args, kwargs))

    def build(self) -> None:
        state = self.pop()
        self.world.build(self.top(), state)

    def persistent(self) -> None:
        self.stack.append(self.world.persistent(self.pop()))


_DO: dict[str, tuple[Callable[..., None] | None, int]] = {
    "STOP": (None, 0), "PROTO": (Machine.protocol, 0), "FRAME": (lambda m, n: None, 0),
    "MARK": (Machine.mark, MARKED), "POP": (Machine.drop, 0), "POP_MARK": (lambda m: m.pop_mark() and None, 0),
    "DUP": (lambda m: m.push(m.top()), SLOT),
    "NONE": (lambda m: m.push(None), SLOT), "NEWTRUE": (lambda m: m.push(True), SLOT),
    "NEWFALSE": (lambda m: m.push(False), SLOT),
    "BININT1": (Machine.push, SLOT), "BININT2": (Machine.push, SLOT + 28), "BININT": (Machine.push, SLOT + 32),
    "LONG1": (Machine.push_sized, 0), "LONG4": (Machine.push_sized, 0), "BINFLOAT": (Machine.push, SLOT + 24),
    "BINUNICODE": (Machine.push_sized, 0), "SHORT_BINUNICODE": (Machine.push_sized, 0),
    "BINUNICODE8": (Machine.push_sized, 0), "BINBYTES": (Machine.push_sized, 0),
    "SHORT_BINBYTES": (Machine.push_sized, 0), "BINBYTES8": (Machine.push_sized, 0),
    "BYTEARRAY8": (lambda m, data: m.push_sized(bytearray(data)), 0),
    "SHORT_BINSTRING": (Machine.byte_string, 0), "BINSTRING": (Machine.byte_string, 0),
    "EMPTY_TUPLE": (lambda m: m.push(()), SLOT), "TUPLE": (lambda m: m.make_tuple(m.pop_mark()), 0),
    "TUPLE1": (lambda m: m.last(1), 0), "TUPLE2": (lambda m: m.last(2), 0), "TUPLE3": (lambda m: m.last(3), 0),
    "EMPTY_LIST": (lambda m: m.push([]), LIST + SLOT), "APPEND": (lambda m: m.extend([m.pop()]), 0),
    "APPENDS": (lambda m: m.extend(m.pop_mark()), 0),
    "EMPTY_DICT": (lambda m: m.push({}), DICT + SLOT),
    "SETITEM": (lambda m: m.set_items([m.pop(), m.pop()][::-1]), 128),
    "SETITEMS": (lambda m: m.set_items(m.pop_mark()), 128),
    "EMPTY_SET": (lambda m: m.push(set()), SET + SLOT), "ADDITEMS": (lambda m: m.add_items(m.pop_mark()), 0),
    "FROZENSET": (lambda m: m.push(frozenset(m.members(m.pop_mark()))), SET + SLOT),
    "BINPUT": (Machine.put, SLOT), "LONG_BINPUT": (Machine.put, SLOT), "MEMOIZE": (Machine.memoize, SLOT),
    "BINGET": (Machine.get, SLOT), "LONG_BINGET": (Machine.get, SLOT),
    "GLOBAL": (Machine.find, SLOT), "STACK_GLOBAL": (Machine.stack_global, SLOT), "REDUCE": (Machine.reduce, SLOT),
    "NEWOBJ": (lambda m: m.new_object({}), SLOT), "NEWOBJ_EX": (lambda m: m.new_object(m.pop()), SLOT),
    "BUILD": (Machine.build, SLOT), "BINPERSID": (Machine.persistent, SLOT),
}

ACTIONS = {code: (name, argument, *_DO[name]) for code, (name, argument) in TABLE.items()}
assert len(_DO) == len(TABLE)


def names_in_pickle(file: Any, size: int) -> set[tuple[str, str]]:
    """Every (module, name) that a pickle mentions, found without running any of it."""
    reader = Reader(file, size)
    found: set[tuple[str, str]] = set()
    strings: list[str] = []  # the two strings before STACK_GLOBAL, directly or from the memo
    memo: dict[int, str] = {}
    puts = 0
    while True:
        code = reader.read(1)
        row = TABLE.get(code)
        if row is None:
            raise refused(code)
        name, argument = row
        value: Any = argument(reader) if argument else None
        if name == "GLOBAL":
            found.add(value)
        elif type(value) is str:
            strings = [*strings[-1:], value]
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            if strings:
                memo[puts if value is None else value] = strings[-1]
            puts += 1
        elif name in ("BINGET", "LONG_BINGET") and value in memo:
            strings = [*strings[-1:], memo[value]]
        elif name == "STACK_GLOBAL" and len(strings) == 2:
            found.add((strings[0], strings[1]))
        elif name == "STOP":
            return found
