# SPDX-License-Identifier: MIT
"""Memory of a sandbox: pointers, which are no numbers, and an allocator whose books are the host's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _native
from . import _types as t
from ._errors import make_error

if TYPE_CHECKING:
    import numpy

Buffer = Union[bytes, bytearray, memoryview]

_FORMATS = {
    ("b", 1): "b", ("B", 1): "B", ("h", 2): "h", ("H", 2): "H", ("i", 4): "i", ("I", 4): "I", ("l", 8): "q", ("L", 8): "Q",
    ("f", 4): "f", ("d", 8): "d", ("?", 1): "?",
}  # fmt: skip


class Pointer(_native.PointerBase):
    """An address in a sandbox, with the type of what it points to.

    It is no integer, and nothing is behind it but checked copies: a pointer that sandboxed code made up leads to an
    :class:`lfi.AccessError`, never into the host. One of another sandbox is refused, as is one from before a reset.

    ``p[i]``, ``p[i] = value`` and ``p[i:j]`` read and write items as C would; ``p.member`` does so for pointers to structs;
    ``p + n`` counts in items. A null pointer is ``None``.
    """

    __slots__ = ()

    @property
    def type(self) -> str:
        """The type of what it points to, for example ``"struct point"``."""
        return self._target.name if self._target is not None else "void"

    def points_to(self, target: t.CType) -> bool:
        """Whether it can be passed as a pointer to `target`, as in C: to void, from void, or of the same type."""
        return self._target is None or isinstance(target, t.Void) or self._target is target

    def _item(self) -> t.CType:
        if self._target is None:
            raise TypeError("a 'void *' has no items: lib.cast(pointer, 'int *') makes one that has")
        self._target.need_size()
        return self._target  # type: ignore[no-any-return]

    def _at(self, index: int) -> int:
        address = self._offset() + index * self._item().size
        if not 0 < address < 1 << 32:
            raise make_error(_native.LFI_ERR_RANGE, f"item {index} of {self!r} is not in the sandbox")
        return address

    # ---- Bytes ----

    def read(self, size: int, offset: int = 0) -> bytes:
        """Copy `size` bytes out, from `offset` bytes behind where it points."""
        return bytes(self._sandbox.read(self._offset() + offset, size))

    def read_into(self, buffer: Buffer, offset: int = 0) -> None:
        """Fill a writable `buffer`, from `offset` bytes behind where it points."""
        self._sandbox.read_into(self._offset() + offset, buffer)

    def write(self, data: Buffer, offset: int = 0) -> None:
        """Copy `data` in, `offset` bytes behind where it points. The length of what is there is not known: check it."""
        self._sandbox.write(self._offset() + offset, data)

    def string(self, limit: int = 1 << 20) -> bytes:
        """The NUL-terminated string that it points to, without the NUL.

        Raises
        ------
        lfi.AccessError
            There is no NUL in `limit` bytes, or the memory is not mapped.
        """
        return bytes(self._sandbox.string(self._offset(), limit))

    def text(self, limit: int = 1 << 20, errors: str = "strict") -> str:
        """The string as UTF-8; `limit` is as in :meth:`string`, `errors` as in :meth:`bytes.decode`."""
        return self.string(limit).decode("utf-8", errors)

    def view(self, size: Optional[int] = None, *, readonly: bool = False) -> memoryview:
        """Memory without a copy: `size` bytes, or one item, as plain bytes.

        The pages are pinned until the view is released: the sandbox cannot unmap them, and closing it keeps them. The sandbox
        can write them at any time: copy before you check. A `readonly` one cannot be written by the host.
        """
        size = self._item().size if size is None else size
        exporter: Any = _native.View(self._sandbox, self._offset(), size, readonly)
        return memoryview(exporter)

    def array(self, count: int, *, readonly: bool = False) -> memoryview[Any]:
        """A view of `count` items with their format; ``numpy.asarray`` takes it without a copy.

        What is in it may change at any time, and `readonly` is as in :meth:`view`.
        """
        item = self._item()
        view: Any = self.view(count * item.size, readonly=readonly)
        letter = _FORMATS.get((item.code, item.size))
        if letter is None:
            raise TypeError(f"items of type '{item.name}' have no format of a buffer")
        made: memoryview[Any] = view.cast(letter)
        return made

    def numpy(self, shape: Union[int, tuple[int, ...]], *, readonly: bool = False) -> numpy.ndarray[Any, Any]:
        """A NumPy array of the memory, without a copy, with as many items as `shape` has; see :meth:`array`.

        Whoever has the array, or one that is made from it, keeps the memory. A `readonly` one cannot be written by the host.
        """
        import math

        import numpy as np

        count = shape if isinstance(shape, int) else math.prod(shape)
        flat: Any = np.asarray(self.array(count, readonly=readonly))
        made: numpy.ndarray[Any, Any] = flat.reshape(shape)
        return made

    # ---- Items ----

    def __getitem__(self, index: Union[int, slice]) -> Any:
        item = self._item()
        if isinstance(index, slice):
            if index.stop is None or index.step not in (None, 1) or (index.start or 0) > index.stop:
                raise IndexError("a slice of a pointer is p[i:j]: its end is not known")
            start, stop = index.start or 0, index.stop
            data = self._sandbox.read(self._at(start), (stop - start) * item.size)
            return t.Array(item, stop - start).decode(data, self._sandbox)
        return item.decode(self._sandbox.read(self._at(index), item.size), self._sandbox)

    def __setitem__(self, index: Union[int, slice], value: Any) -> None:
        item = self._item()
        if isinstance(index, slice):
            raise IndexError("a slice of a pointer cannot be set: use write, or view")
        self._sandbox.write(self._at(index), item.encode(value, self._sandbox))

    @property
    def value(self) -> Any:
        """The item that it points to."""
        return self[0]

    @value.setter
    def value(self, value: Any) -> None:
        self[0] = value

    def __getattr__(self, name: str) -> Any:
        field, address = self._member(name)
        if isinstance(field.type, t.Struct):
            return Pointer(self._sandbox, address, field.type)
        return field.type.decode(self._sandbox.read(address, field.type.size), self._sandbox)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "value":
            self[0] = value
            return
        field, address = self._member(name)
        self._sandbox.write(address, field.type.encode(value, self._sandbox))

    def _member(self, name: str) -> tuple[t.Field, int]:
        target = self._target
        if not isinstance(target, t.Struct):
            raise AttributeError(f"a '{self.type} *' has no member {name!r}")
        target.need_size()
        field = target.field(name)
        return field, self._at(0) + field.offset

    def __call__(self, *args: Any, timeout: Optional[float] = None) -> Any:
        """Call the function that it points to."""
        from ._marshal import make_function

        if not isinstance(self._target, t.Function):
            raise TypeError(f"a '{self.type} *' cannot be called")
        function = make_function(self._sandbox, "function", self._offset(), self._target, None)
        return function(*args) if timeout is None else function(*args, timeout=timeout)

    # ---- Arithmetic and comparison ----

    def __add__(self, count: int) -> Pointer:
        return Pointer(self._sandbox, self._at(count), self._target)

    def __sub__(self, other: Union[int, Pointer]) -> Any:
        if isinstance(other, Pointer):
            if other._sandbox is not self._sandbox or other._target is not self._target:
                raise TypeError("only pointers of one type and sandbox have a difference")
            return (self._offset() - other._offset()) // self._item().size
        return self + -other

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pointer) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> Any:
        raise TypeError("a pointer into a sandbox cannot be pickled: copy what it points to")

    def __repr__(self) -> str:
        return f"<'{self.type} *' at {self._parts()[1]:#x}>"


_native.set_pointer_class(Pointer)

#: Smallest block, and what is taken from the sandbox at a time.
_SMALL, _CHUNK = 16, 65536
#: Bytes of freed blocks larger than a chunk that are kept.
_KEEP = 64 << 20


class Arena:
    """Blocks of a sandbox's memory for the host. Sizes are powers of two. The sandbox sees none of the books."""

    def __init__(self, sandbox: Any) -> None:
        self._sandbox = sandbox
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._serial = self._sandbox.serial
        self._free: dict[int, list[int]] = {}
        self._sizes: dict[int, int] = {}
        self._kept = 0
        self._next = self._end = 0

    def alloc(self, size: int) -> int:
        """A block of at least `size` bytes; its contents are what was there."""
        if size < 0 or size >= 1 << 32:
            raise make_error(_native.LFI_ERR_NOMEM, f"{size} bytes do not fit a sandbox")
        with self._lock:
            return self._take(size)

    def _take(self, size: int) -> int:
        if self._serial != self._sandbox.serial:
            self._forget()
        whole = max(_SMALL, 1 << (size - 1).bit_length()) if size else _SMALL
        free = self._free.get(whole)
        if free:
            address = free.pop()
            if whole > _CHUNK:
                self._kept -= whole
        elif whole > _CHUNK:
            address = self._sandbox.map(whole)
        else:
            address = self._cut(whole)
        self._sizes[address] = whole
        return int(address)

    def _cut(self, whole: int) -> int:
        if self._next + whole > self._end:
            self._next = self._sandbox.map(_CHUNK)
            self._end = self._next + _CHUNK
        address = self._next
        self._next += whole
        return address

    def free(self, address: int) -> None:
        """Give a block back."""
        with self._lock:
            self._give(address)

    def _give(self, address: int) -> None:
        if self._serial != self._sandbox.serial:
            return
        whole = self._sizes.pop(address, None)
        if whole is None:
            raise make_error(_native.LFI_ERR_INVALID, f"nothing that was allocated begins at {address:#x}")
        if whole > _CHUNK and self._kept + whole > _KEEP:
            self._sandbox.unmap(address, whole)
            return
        if whole > _CHUNK:
            self._kept += whole
        self._free.setdefault(whole, []).append(address)

    def size(self, address: int) -> Optional[int]:
        """Of a block."""
        return self._sizes.get(address) if self._serial == self._sandbox.serial else None
