"""All files of all tenants, and what they say together. One look at a time; whose files are broken harms nobody else.

The index, and common files, keep their last content in force while they cannot be read; a tenant's files do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Final, Literal

from mtlspolicy._text import quoted
from mtlspolicy._trust import TrustStore
from mtlspolicy._trust_files import parse_pem
from mtlspolicy.tenants._folder import SETTLING
from mtlspolicy.tenants._generation import Content
from mtlspolicy.tenants._held import Held, Trouble
from mtlspolicy.tenants._index import MOST_INDEX, Index, read_index
from mtlspolicy.tenants._names import COMMON
from mtlspolicy.tenants._reader import Missing, Place, Reader, Unreadable, View

TENANTS: Final = "tenants"


def parse_anchors(data: bytes, name: str, *, anchors: Literal["self-signed", "all"]) -> TrustStore:
    """Return the store in the PEM *data* of the file *name*; see `TrustStore.from_pem`."""
    return parse_pem(data, anchors=anchors, source=f"CA file {quoted(name)}")


class Group:
    """Files whose stores count together: a tenant's, or the common ones.

    Attributes:
        files: In the order of the index.
        store: What they hold; ``None`` where there are none, or something is wrong.
        fault: What is wrong with the entries themselves, whatever the files hold.
        problem: What is wrong, in a few words.
        due: Monotonic time from which a file in trouble counts no more; infinity where that is not to come.
    """

    __slots__ = ("_judged", "_values", "due", "fault", "files", "problem", "store")

    def __init__(self, files: tuple[Held[TrustStore], ...], fault: str | None = None) -> None:
        self.files = files
        self.fault = fault
        self.store: TrustStore | None = None
        self.problem: str | None = fault
        self.due: float = math.inf
        self._values: tuple[TrustStore, ...] = ()
        self._judged = False

    def refresh(self, view: View, clock: float) -> bool:
        """Read what changed; return whether store or problem did. Files of a group with a fault are not opened."""
        if self.fault is not None:
            return False
        touched = not self._judged
        for file in self.files:
            touched |= file.refresh(view, clock)
        return touched and self._judge(clock)

    def _judge(self, clock: float) -> bool:
        """Put together what counts at *clock*; return whether it is something else than before."""
        self._judged = True
        times = [file.trouble.until for file in self.files if file.trouble is not None]
        self.due = min((time for time in times if time > clock), default=math.inf)
        values = tuple(value for file in self.files if (value := file.current(clock)) is not None)
        problem: str | None = None
        if len(values) < len(self.files):
            problem = next(str(file.trouble) for file in self.files if file.current(clock) is None)
            values = ()
        if problem == self.problem and _same(values, self._values):
            return False
        self.store, self.problem, self._values = _joined(values), problem, values
        return True


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _joined(stores: tuple[TrustStore, ...]) -> TrustStore | None:
    if len(stores) < 2:
        return stores[0] if stores else None
    return TrustStore(
        anchors=[one for store in stores for one in store.anchors],
        intermediates=[one for store in stores for one in store.intermediates],
    )


class Collection:
    """The files behind one `TenantTrust`. Not for two threads at once.

    Args:
        reader: What files are read through.
        anchors: As for `TrustStore.from_pem`.
        max_stale: Seconds for which index and common files count while they cannot be read.
        fixed: The index, where it is no file.
    """

    def __init__(
        self, reader: Reader, *, anchors: Literal["self-signed", "all"], max_stale: float, fixed: Index | None = None
    ) -> None:
        self._reader = reader
        self._parse = partial(parse_anchors, anchors=anchors)
        self._max_stale = max_stale
        self._index: Held[Index] = Held(("index",), read_index, max_stale=max_stale, most=MOST_INDEX)
        self._index.value = fixed
        self._fixed = fixed is not None
        self._laid_out: Index | None = None
        self._common = Group(())
        self._tenants: dict[str, Group] = {}
        self.due: float = math.inf
        """Monotonic time at which the same files come to say something else."""

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """What is wrong with the index and the common files."""
        held: tuple[Held[Index] | Held[TrustStore], ...] = (self._index, *self._common.files)
        return tuple(file.trouble for file in held if file.trouble is not None)

    def again(self) -> None:
        """Read every file at the next `refresh`."""
        self._index.again()
        for group in (self._common, *self._tenants.values()):
            for file in group.files:
                file.again()

    def refresh(self, clock: float) -> bool:
        """Look at every file at the monotonic time *clock*; return whether they say something else than before."""
        try:
            with self._reader.look() as view:
                changed = self._refresh_index(view, clock)
                changed |= self._common.refresh(view, clock)
                self.due = math.inf
                for group in self._tenants.values():
                    changed |= group.refresh(view, clock)
                    self.due = min(self.due, group.due)
        except (Missing, Unreadable) as error:
            self._fail(error, clock)
            return False
        return changed

    def content(self) -> Content:
        """Return what the files say."""
        broken = {name: group.problem for name, group in self._tenants.items() if group.problem is not None}
        own = {name: group.store for name, group in self._tenants.items() if group.problem is None}
        common = _joined(tuple(file.value for file in self._common.files if file.value is not None))
        return Content(own, broken, common)

    def _fail(self, error: Missing | Unreadable, clock: float) -> None:
        gone = isinstance(error, Missing)
        self._index.fail("is missing (index.json, index.toml or index.yml)" if gone else str(error), clock, gone=gone)

    def _refresh_index(self, view: View, clock: float) -> bool:
        if not self._fixed:
            try:
                place = view.index()
            except (Missing, Unreadable) as error:
                self._fail(error, clock)
            else:
                if place != self._index.place:
                    self._index.move(place)
                self._index.refresh(view, clock)
        index = self._index.value
        if index is None or index is self._laid_out:
            return False
        self._lay_out(index)
        return True

    def _lay_out(self, index: Index) -> None:
        """Take over *index*: files that it lists as before keep what they held, all others are new or forgotten."""
        self._common = self._group(self._common, (COMMON,), index.common)
        self._tenants = {
            tenant: Group((), index.faults[tenant])
            if tenant in index.faults
            else self._group(self._tenants.get(tenant), (TENANTS, tenant), names)
            for tenant, names in index.tenants.items()
        }
        self._laid_out = index

    def _group(self, known: Group | None, above: Place, names: Iterable[str]) -> Group:
        held = {} if known is None else {file.place: file for file in known.files}
        # what a tenant's file held is in force only for as long as a writer may take
        max_stale = self._max_stale if above == (COMMON,) else SETTLING
        files: list[Held[TrustStore]] = []
        for name in names:
            place = (*above, name)
            files.append(held.get(place) or Held(place, self._parse, max_stale=max_stale))
        return Group(tuple(files))
