"""What the files of all tenants said at one time: a value, and the answer to "which store is this tenant's?".

A look-up is one in a dictionary, whatever the tenant is called; the name never becomes part of a path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from mtlspolicy._decision import Verdict
from mtlspolicy._text import escape, quoted
from mtlspolicy._trust import TrustStore
from mtlspolicy._trust_state import TrustRefused, stated
from mtlspolicy.tenants._foreign import Neighbours, elsewhere
from mtlspolicy.tenants._held import Trouble

Common: TypeAlias = Literal["fallback", "always"]


class Content(NamedTuple):
    """What the files say.

    Attributes:
        own: By tenant, the store of its own files, or ``None`` where it lists none.
        broken: By tenant that is refused, what is wrong with its files.
        common: The common store; ``None`` where the index lists no common file.
    """

    own: Mapping[str, TrustStore | None]
    broken: Mapping[str, str]
    common: TrustStore | None

    def digest(self, mode: str) -> str:
        """Return SHA-256 over whom each tenant trusts, lower-case hex."""
        whole = hashlib.sha256(f"{mode}:{'' if self.common is None else self.common.digest};".encode())
        for tenant in sorted(self.own):
            store = self.own[tenant]
            whole.update(f"{tenant}:{'' if store is None else store.digest};".encode())
        for tenant in sorted(self.broken):
            whole.update(f"{tenant}:broken;".encode())
        return whole.hexdigest()


class Generation:
    """The trust of all tenants as it was read at one time. The next one has the next number, and other content.

    Attributes:
        number: Counts from 1, within one process.
        digest: SHA-256 over whom each tenant trusts, lower-case hex: equal in all processes that read the same.
        taken: When it was read, UTC.
        broken: By tenant that is refused for it, what is wrong with its files; escaped.
        tenants: The tenants of the index, broken ones included.
    """

    __slots__ = (
        "_common",
        "_mode",
        "_neighbours",
        "_own",
        "_prepared",
        "broken",
        "digest",
        "number",
        "taken",
        "tenants",
    )

    def __init__(self, number: int, content: Content, *, mode: Common, taken: datetime) -> None:
        self.number: int = number
        self.digest: str = content.digest(mode)
        self.taken: datetime = taken
        self.broken: Mapping[str, str] = MappingProxyType({name: escape(why) for name, why in content.broken.items()})
        self.tenants: frozenset[str] = frozenset(content.own.keys() | content.broken.keys())
        self._own = content.own
        self._common = content.common
        self._mode = mode
        self._neighbours = Neighbours(content.own)
        self._prepared: dict[str, TrustStore] = {}

    def __str__(self) -> str:
        return f"{self.number} of {self.taken:%Y-%m-%dT%H:%M:%SZ} sha256/{self.digest}"

    def __repr__(self) -> str:
        return f"<Generation {self}: {len(self.tenants)} tenants, {len(self.broken)} broken>"

    def ready(self, tenant: str) -> TrustStore | None:
        """Return the store of *tenant* if it was asked for before and nothing is to be said about it."""
        return self._prepared.get(tenant)

    def store(self, tenant: str, troubles: tuple[Trouble, ...], clock: float) -> TrustStore:
        """Return the store of *tenant*.

        Args:
            tenant: As the caller knows it; any text.
            troubles: With files that concern every tenant: the index, and common ones.
            clock: Monotonic time in seconds.

        Raises:
            TrustRefused: There is none to decide under, with the code of the reason.
        """
        for trouble in troubles:
            if not trouble.common:
                self._require_in_force(trouble, clock)
        store = self._own_store(tenant)
        if store is None or self._mode == "always":
            for trouble in troubles:
                self._require_in_force(trouble, clock)
        else:
            troubles = tuple(trouble for trouble in troubles if not trouble.common)
        made = self._prepared.get(tenant)
        if made is None:
            joined = self._joined(store, tenant)
            made = stated(joined, generation=str(self), elsewhere=partial(elsewhere, self._neighbours, tenant))
            self._prepared[tenant] = made
        if not troubles:
            return made
        remarks = tuple(
            f"{trouble} for {clock - trouble.since:.0f} s: the last content is in force" for trouble in troubles
        )
        return stated(made, generation=str(self), remarks=remarks, elsewhere=made.elsewhere)

    def _own_store(self, tenant: str) -> TrustStore | None:
        if tenant in self.broken:
            raise TrustRefused(
                f"tenant {quoted(tenant, 100)}: {self.broken[tenant]}; mend the file, or take it out of the index",
                code="tenant.broken", verdict=Verdict.INDETERMINATE, generation=str(self),
            )  # fmt: skip
        if tenant not in self._own:
            raise TrustRefused(
                f"there is no tenant {quoted(tenant, 100)} in the index",
                code="tenant.unknown", verdict=Verdict.DENY, generation=str(self),
            )  # fmt: skip
        return self._own[tenant]

    def _require_in_force(self, trouble: Trouble, clock: float) -> None:
        if clock < trouble.until:
            return
        raise TrustRefused(
            f"{trouble} for {clock - trouble.since:.0f} s: the last content is no longer in force",
            code="trust.unavailable" if trouble.gone else "trust.stale",
            verdict=Verdict.INDETERMINATE, generation=str(self),
        )  # fmt: skip

    def _joined(self, own: TrustStore | None, tenant: str) -> TrustStore:
        common = self._common
        if own is not None and (common is None or self._mode == "fallback"):
            return own
        if common is None:
            raise TrustRefused(
                f"the tenant {quoted(tenant, 100)} lists no file, and neither does 'common': it trusts nobody",
                code="tenant.no-anchor", verdict=Verdict.DENY, generation=str(self),
            )  # fmt: skip
        return common if own is None else common | own
