"""Trust for many tenants, reloaded while it is used: each decision under the current anchors of the tenant it is for.

Who the tenant is comes from the caller, never from a certificate, and a tenant's name is looked up, never opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy._chain import DEFAULT_LIMITS, Limits
from mtlspolicy._path import PathProfile, Purpose, Rules
from mtlspolicy._policy import Policy
from mtlspolicy._text import quoted
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier import PolicySource, Verifier
from mtlspolicy._verifier_rules import require_named, require_policy_source
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tenants._collection import Collection
from mtlspolicy.tenants._folder import FolderReader
from mtlspolicy.tenants._generation import Common, Generation
from mtlspolicy.tenants._index import index_of
from mtlspolicy.tenants._keeper import Keeper
from mtlspolicy.tenants._options import INTERVAL, MAX_STALE, Anchors, Options
from mtlspolicy.tenants._reader import FunctionReader, Read

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["TenantSource", "TenantTrust"]

_POLICIES: Final = 32
"""Policies whose verifiers are kept; one who makes a policy for each request shall not fill the memory."""


class TenantSource:
    """The current store of one tenant, as ``trust=`` of a verifier. Made by `TenantTrust.source`.

    Called, it returns the store, or raises a `ConfigurationError` that makes the decision a refusal with its code:
    ``tenant.unknown``, ``tenant.no-anchor``, ``tenant.broken``, ``trust.unavailable``, ``trust.stale``.
    """

    __slots__ = ("_keeper", "tenant")

    def __init__(self, keeper: Keeper, tenant: str) -> None:
        self._keeper = keeper
        self.tenant: str = tenant

    def __call__(self) -> TrustStore:
        """Return the store that counts now; no file is read."""
        return self._keeper.store(self.tenant)

    def __repr__(self) -> str:
        return f"<TenantSource {quoted(self.tenant, 100)}>"


class TenantTrust:
    """Common and per-tenant trust anchors, from files with an index. Made by `from_directory` and `from_index`.

    The layout is that of The Things Stack: an index says ``common: [common.pem]`` and ``tenants: {test: [test.pem]}``,
    and the files, PEM as for `TrustStore.from_file`, lie under ``common/`` and ``tenants/<tenant>/``.

    Files are looked at again every few seconds, by one daemon thread that starts with the first use; a decision reads
    nothing. What changed takes effect for all tenants at once, as a generation whose number, time and content digest
    each decision records. A tenant with a file that cannot be read is refused, ``tenant.broken``, and the others are
    not. An index or common file that is missing or empty for two seconds refuses those it concerns,
    ``trust.unavailable``; one that holds something else leaves its last content in force for *max_stale*, which each
    decision states, and then refuses, ``trust.stale``.

    Safe to share between threads and event loops; a forked process starts afresh. Close it, or use it as a context
    manager.
    """

    def __init__(self, keeper: Keeper, origin: str) -> None:
        self._keeper = keeper
        self._origin = origin
        self._shelves: dict[tuple[int, int, str, int], dict[str, Verifier]] = {}

    @classmethod
    def from_directory(
        cls,
        path: str | os.PathLike[str],
        common: Common = "fallback",
        *,
        anchors: Anchors = "self-signed",
        interval: float | None = INTERVAL,
        max_stale: timedelta = MAX_STALE,
    ) -> TenantTrust:
        """Return the trust in the directory *path*, with ``index.json``, ``index.toml`` or ``index.yml``: exactly one.

        No link is followed below *path*, which may be one itself. The index and the common files have to be readable
        now; a tenant's need not be.

        Args:
            path: The directory.
            common: ``"fallback"``: the common anchors are those of each tenant that lists no file of its own;
                ``"always"``: each tenant has them beside its own.
            anchors: ``"all"`` makes every certificate an anchor: for issuing CAs without their root.
            interval: Seconds between two looks at the files, at least; ``None``: look only when `reload` is called.
            max_stale: How long the index and common files count after they cannot be read any more.

        Raises:
            ConfigurationError: There is no index or more than one, it or a common file cannot be read, or says
                something else; a YAML index without the extra ``yaml``.
        """
        options = Options.of(common, anchors, interval, max_stale)
        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError(f"from_directory({path!r}): give the path of a directory")
        origin = f"tenants in {quoted(os.fspath(path))}"
        _require_directory(path)
        collection = Collection(FolderReader(path), anchors=anchors, max_stale=options.max_stale)
        return cls(Keeper(collection, options, origin=origin), origin)

    @classmethod
    def from_index(
        cls,
        index: str | Mapping[str, Any],
        *,
        read: Read,
        common: Common = "fallback",
        anchors: Anchors = "self-signed",
        interval: float | None = 60.0,
        max_stale: timedelta = MAX_STALE,
    ) -> TenantTrust:
        """Return the trust that *read* brings, from an object store and the like.

        Args:
            index: Name of the index, which *read* brings too and whose end tells its format; or the index itself, as a
                mapping, which does not change.
            read: ``read("tenants/test/test.pem")`` returns bytes, or raises `FileNotFoundError` or `KeyError` if there
                is none; what else it raises means that the file cannot be read. It is called for each file at each
                look, on a thread of its own, and has to bound its own time.
            common: As for `from_directory`.
            anchors: As for `from_directory`.
            interval: Seconds between two looks, which read everything; ``None``: only when `reload` is called.
            max_stale: As for `from_directory`.

        Raises:
            ConfigurationError: As for `from_directory`.
        """
        options = Options.of(common, anchors, interval, max_stale)
        if not callable(read):
            raise ConfigurationError("from_index(read=...) takes a function: read(name) returns the bytes of a file")
        if not isinstance(index, str | Mapping):
            raise ConfigurationError("from_index(...) takes the name of an index that read() brings, or a mapping")
        name = index if isinstance(index, str) else ""
        fixed = None if isinstance(index, str) else index_of(index, "mapping")
        origin = f"tenants of the index {quoted(name)}" if name else "tenants of a mapping"
        reader = FunctionReader(read, name)
        collection = Collection(reader, anchors=anchors, max_stale=options.max_stale, fixed=fixed)
        return cls(Keeper(collection, options, origin=origin), origin)

    def verifier(
        self,
        tenant: str,
        *,
        policy: PolicySource,
        profile: PathProfile = PathProfile.PRIVATE_PKI,
        path_engine: str = "cryptography",
        limits: Limits = DEFAULT_LIMITS,
    ) -> Verifier:
        """Return the verifier of clients of *tenant*: the same one each time for the same tenant and policy object.

        It follows every reload, so it may be kept. There is one for every name: that of a tenant that is not listed
        refuses everybody with ``tenant.unknown``. Ask what is particular to one request of the admitted peer,
        ``peer.require(...)``; a policy made for each request would make a verifier for each.

        Args:
            tenant: As the caller knows it, from a host name, a path or a token, and never from the certificate.
            policy: As for `Verifier.for_clients`.
            profile: As for `Verifier.for_clients`.
            path_engine: As for `Verifier.for_clients`.
            limits: As for `Verifier.for_clients`.

        Raises:
            ConfigurationError: *tenant* is not text; no policy, or one that admits without saying who.
        """
        source = self.source(tenant)
        shelf = self._shelves.get((id(policy), id(profile), path_engine, id(limits)))
        if shelf is not None:
            found = shelf.get(tenant)
            if found is not None:
                return found
        require_policy_source(policy, "TenantTrust.verifier(policy=...)")
        if isinstance(policy, Policy):
            require_named(policy)
        rules = Rules(profile, Purpose.CLIENT, limits, path_engine)
        made = Verifier(trust=source, policy=policy, rules=rules, expected=())
        if tenant in self.generation.tenants:
            return self._shelve((id(policy), id(profile), path_engine, id(limits)), tenant, made)
        return made

    def _shelve(self, key: tuple[int, int, str, int], tenant: str, made: Verifier) -> Verifier:
        """Keep *made* under *key*, whose objects it holds as long as it is kept; tenants that left make room.

        Without a lock, which a fork might copy while it is held: each step is one operation on a dictionary.
        """
        shelf = self._shelves.setdefault(key, {})
        if len(shelf) >= 2 * len(self.generation.tenants):
            shelf = self._shelves[key] = {}
        for oldest in list(self._shelves)[:-_POLICIES]:
            self._shelves.pop(oldest, None)
        return shelf.setdefault(tenant, made)

    def source(self, tenant: str) -> TenantSource:
        """Return the current store of *tenant* as a source: ``Verifier.for_clients(trust=...)`` and the like take it.

        Raises:
            ConfigurationError: *tenant* is not text.
        """
        if not isinstance(tenant, str):
            raise ConfigurationError(f"the tenant is {type(tenant).__name__}: give its name, as the request has it")
        return TenantSource(self._keeper, tenant)

    @property
    def generation(self) -> Generation:
        """What counts now."""
        return self._keeper.state.generation

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the index and the common files; a tenant's own are in ``generation.broken``."""
        return tuple(str(trouble) for trouble in self._keeper.state.troubles)

    def reload(self) -> Generation:
        """Read every file now, and return what counts from here on. Waits for a look that is under way.

        It raises nothing for what the files hold: see `problems` and ``generation.broken``.
        """
        self._keeper.look(again=True)
        return self.generation

    def close(self) -> None:
        """End the thread; may be called twice. Decisions go on under the last state, for ``max_stale`` at most."""
        self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        generation = self.generation
        return f"<TenantTrust {self._origin}: {len(generation.tenants)} tenants, generation {generation.number}>"

    def __reduce__(self) -> Any:
        raise TypeError("a TenantTrust holds a thread: build it in each process instead of pickling it")


def _require_directory(path: str | os.PathLike[str]) -> None:
    """Raise for what is plainly no directory; whatever else is wrong with it shows when it is opened."""
    wanted = "the directory with index.json, index.toml or index.yml in it"
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        problem = f"there is no such directory; give {wanted}"
    except (OSError, ValueError):
        return
    else:
        if not stat.S_ISREG(mode):
            return
        problem = f"a file; give {wanted}: {quoted(str(Path(path).parent))}"
    raise ConfigurationError(f"from_directory({quoted(os.fspath(path))}): {problem}", code="tenant.index")
