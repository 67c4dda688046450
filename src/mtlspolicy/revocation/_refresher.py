"""The refresher: questions about revocation into answers, over the network, with caches. The one place that fetches.

What an answer means for a peer is for `policies.NotRevoked`; whether it is true, for the interpreters of OCSP and CRLs.
"""

from __future__ import annotations

import functools
import math
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy._resolver import Resolver, Source
from mtlspolicy._revocation import CRL, OCSP, CRLQuestion, OCSPQuestion, RevocationQuestion
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._cache import Cache, MemoryCache
from mtlspolicy.revocation._desk import Desk, Terms
from mtlspolicy.revocation._destinations import Destinations
from mtlspolicy.revocation._http import HTTPTransport, Trust
from mtlspolicy.revocation._ocsp_layout import ASKED
from mtlspolicy.revocation._office import TaskOffice, ThreadOffice

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import httpx

__all__ = ["Refresher"]

_QUESTIONS: Final[dict[str, type[OCSPQuestion | CRLQuestion]]] = {OCSP: OCSPQuestion, CRL: CRLQuestion}


@dataclass(eq=False, repr=False)
class Refresher:
    """Answers what `policies.NotRevoked` asks, by OCSP and CRL, over the network. Nothing is fetched without one.

    An answer comes from memory, else from the cache, else from the responders and distribution points that the
    certificate names. Each is verified under the asker's own rule, wherever it comes from; only what was verified is
    kept. Answers in use are renewed before they lapse, by one daemon thread (with an ``AsyncClient``: by a task on its
    loop), and pushed to the resolvers made by `resolver`: a revocation that is found counts for the next connection. No
    thread and no socket exists before the first question; a forked process starts afresh.

    Who answers badly is left alone for a while, a responder and a certificate each for itself, and the answer is then
    UNAVAILABLE at once. What was seen revoked stays revoked in this process, and an answer older than one seen is
    refused, whatever a cache or somebody on the way puts in its place. What remains possible: a first answer that is
    replayed within the rule's ``max_age``, to a process that has seen no other, as after a restart with a cache that
    somebody has overwritten or deleted.

    Close it, or use it as a context manager, sync or async, such as in an ASGI lifespan; that closes its resolvers too.

    .. code-block:: python

       async with revocation.Refresher(hosts={"ocsp.example.com"}) as refresher:
           options = tls.ServerOptions(resolver=refresher.resolver(), pending="hold")

    Args:
        hosts: Exact host names that may be asked; ``None``: any host that a validated path names. Hosts of
            ``NotRevoked(responder=...)`` have to be among them too.
        destinations: In place of *hosts*, where ports or addresses that are not public are to be allowed.
        cache: Shared by processes or machines; ``None``: a `MemoryCache` of its own. It is not trusted, and one that is
            down is only a miss. It stays the caller's to close.
        client: An ``httpx.Client``, or an ``httpx.AsyncClient`` for programs on one event loop (needs the extra
            ``httpx``); ``None``: the standard library's HTTP, in threads.
        trust: Whom https responders are verified against; ``None``: certifi. Not with *client*, which has its own.
        deadline: Seconds for one question, all retries included. A CRL that takes longer goes on being fetched.
        nonce: Whether each OCSP request has a nonce, also where no rule requires one; responders then cannot prepare
            their answers.
        digest: Of the CertID in OCSP requests: ``sha1``, which every responder knows, or ``sha256``.
        background: Whether answers are renewed before they lapse.

    Raises:
        ConfigurationError: A value that is none of these.
    """

    hosts: Iterable[str] | None = None
    _: KW_ONLY
    destinations: Destinations | None = None
    cache: Cache | None = None
    client: httpx.Client | httpx.AsyncClient | None = None
    trust: Trust = None
    deadline: float = 1.5
    nonce: bool = False
    digest: str = "sha1"
    background: bool = True
    _resolvers: weakref.WeakSet[Resolver] = field(init=False, default_factory=weakref.WeakSet[Resolver])

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for a value that can never be right; open nothing."""
        if self.hosts is not None and self.destinations is not None:
            raise ConfigurationError("a Refresher takes hosts= or destinations=Destinations(hosts=..., ...), not both")
        if self.client is not None and self.trust is not None:
            raise ConfigurationError("trust= is for the standard library's HTTP: give the client a context of its own")
        if isinstance(self.deadline, bool) or not isinstance(self.deadline, int | float):
            raise ConfigurationError(f"deadline={self.deadline!r}: give seconds")
        if not 0 < self.deadline < math.inf:
            raise ConfigurationError(f"deadline={self.deadline!r}: give a finite number of seconds, more than zero")
        for name in ("nonce", "background"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name}={getattr(self, name)!r} is neither True nor False")
        if self.digest not in ASKED:
            raise ConfigurationError(f"digest={self.digest!r}: a CertID is asked for by sha1 or sha256")
        if self.cache is not None and not isinstance(self.cache, Cache):
            raise ConfigurationError(f"cache={type(self.cache).__name__}: give a cache with get, put and close")
        where = Destinations(hosts=self.hosts) if self.destinations is None else self.destinations
        cache = MemoryCache() if self.cache is None else self.cache
        self._terms = Terms(cache, where, self.deadline, self.nonce, self.digest, self.background)
        self._open_office(self._new_office())

    @property
    def sources(self) -> Mapping[str, Source]:
        """The sources for ``Resolver({**refresher.sources, ...})``, whose deadline should be longer than this one's.

        Renewed answers are not pushed to such a resolver: it comes back for them when they are due.
        """
        return self._sources(pushed=False)

    def resolver(
        self,
        sources: Mapping[str, Source] | None = None,
        *,
        deadline: float = 2.0,
        max_entries: int = 100_000,
        default_max_age: float = 60.0,
        negative_max_age: float = 1.0,
        max_pending: int = 10_000,
    ) -> Resolver:
        """Return a resolver that asks this refresher, and to which renewed answers are pushed.

        Args:
            sources: Further sources, as for `Resolver`.
            deadline: Seconds for one question, waiting for a thread included; more than the refresher's.
            max_entries: As for `Resolver`.
            default_max_age: As for `Resolver`.
            negative_max_age: As for `Resolver`.
            max_pending: As for `Resolver`.

        Raises:
            ConfigurationError: A deadline that is not longer than the refresher's, a source for a kind that is the
                refresher's, or what `Resolver` refuses.
        """
        resolver = Resolver(
            {**_further(sources or {}), **self._sources(pushed=True)},
            deadline=deadline,
            max_entries=max_entries,
            default_max_age=default_max_age,
            negative_max_age=negative_max_age,
            max_pending=max_pending,
        )
        if deadline <= self.deadline:
            raise ConfigurationError(
                f"deadline={deadline:g} s of the resolver is not longer than the refresher's {self.deadline:g} s: the "
                f"refresher could not say in time that there is no answer; say deadline={self.deadline + 0.5:g} or more"
            )
        self._resolvers.add(resolver)
        return resolver

    def close(self) -> None:
        """End the renewals and close the resolvers made here; questions are no longer answered. May be called twice."""
        self._current()
        self._finalizer()
        for resolver in list(self._resolvers):
            resolver.close()

    def _sources(self, *, pushed: bool) -> Mapping[str, Source]:
        ask: Callable[..., Any] = self._ask if isinstance(self._office, ThreadOffice) else self._ask_async
        return MappingProxyType({kind: functools.partial(ask, kind=kind, pushed=pushed) for kind in _QUESTIONS})

    def _ask(self, question: object, *, kind: str, pushed: bool) -> Any:
        return self._current().answer(_asked(kind, question), pushed=pushed)

    async def _ask_async(self, question: object, *, kind: str, pushed: bool) -> Any:
        return await self._current().answer(_asked(kind, question), pushed=pushed)

    def _current(self) -> Any:
        office: Any = self._office
        if office.desk.pid == os.getpid():
            return office
        # A forked child: threads stayed behind, locks may be held. Of several threads that come first one opens the
        # office, in one step of the interpreter's.
        made = self._new_office()
        successor: Any = office.__dict__.setdefault("successor", made)
        if successor is not made:
            return successor
        self._finalizer.detach()
        return self._open_office(made)

    def _new_office(self) -> Any:
        desk = Desk(self._terms, self._resolvers)
        where = self._terms.destinations
        if self.client is None:
            return ThreadOffice(desk, HTTPTransport(destinations=where, trust=self.trust))
        from mtlspolicy.revocation._httpx import HTTPXTransport, httpx_transport

        transport = httpx_transport(self.client, where)
        return TaskOffice(desk, transport) if isinstance(transport, HTTPXTransport) else ThreadOffice(desk, transport)

    def _open_office(self, made: Any) -> Any:
        self._finalizer = weakref.finalize(self, made.close)
        self._office: Any = made  # of threads or of tasks, whose answers are awaited
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        hosts = self._terms.destinations.hosts
        return f"<Refresher {'any host' if hosts is None else ', '.join(sorted(hosts))}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Refresher holds threads and sockets: build it in each process instead of pickling it")


def _further(sources: Mapping[str, Source]) -> Mapping[str, Source]:
    for kind in _QUESTIONS:
        if kind in sources:
            raise ConfigurationError(f"sources: {kind!r} is the refresher's own; leave it out")
    return sources


def _asked(kind: str, question: object) -> RevocationQuestion:
    if not isinstance(question, OCSPQuestion | CRLQuestion) or type(question) is not _QUESTIONS[kind]:
        raise ConfigurationError(f"{kind} is asked with {_QUESTIONS[kind].__name__}, not {type(question).__name__}")
    return question
