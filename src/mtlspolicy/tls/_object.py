"""`LatchedObject`: the `ssl.SSLObject` of our contexts, which asyncio and uvloop drive. Nothing in it blocks.

What it decides is in `_hook`; here is only that no way leads around it.
"""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Any, Final, Self

from mtlspolicy.tls._cpython import asyncio_origin, tls_object, uvloop_peername
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._guards import before_data, before_identity, fail, guard, note_alert, refuse_late_question
from mtlspolicy.tls._hook import decide_connection, prepare
from mtlspolicy.tls._latch import ADMITTED, REFUSED, UNDECIDED, Latch
from mtlspolicy.tls._surface import OBJECT_ACCESS

if TYPE_CHECKING:
    from mtlspolicy.tls._cpython import TLSObject
    from mtlspolicy.tls._enforcement import Enforcement

__all__ = ["LatchedObject"]

_SESSION: Final[Any] = vars(ssl.SSLObject)["session"]
_WANTS: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
_YOUNG: Final = 2
"""Generations of objects gone through for each new connection; where it is not found, the hook searches them all."""
_PLAINTEXT: Final = (
    "the stream holds bytes that came before TLS, and would be read as the verified peer's: nothing may follow the "
    "command that starts TLS (as CVE-2011-0411)"
)


@guard(OBJECT_ACCESS)
class LatchedObject(ssl.SSLObject):
    """An `ssl.SSLObject` that lets nothing through before the policy has admitted its peer."""

    _latch: Latch
    _enforcement: Enforcement | None = None
    _begun = False
    _incoming: ssl.MemoryBIO | None = None
    _deciding: threading.RLock

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Make the object with its latch, before anything can use it."""
        self = super().__new__(cls)
        self._latch = Latch()
        # Two threads in one handshake corrupt OpenSSL's memory, and the second must not go on before the decision.
        self._deciding = threading.RLock()
        return self

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Self:
        enforcement = enforcement_of(kwargs["context"])
        if enforcement is not None:
            enforcement.refresh_trust()
        base: Any = super()  # wrap_bio calls _create; typeshed hides it
        made: Self = base._create(*args, **kwargs)
        if enforcement is not None:
            made._enforcement = enforcement
            if enforcement.many_hosts:
                made._incoming = args[0]
            if enforcement.uses_address:
                made._latch.locate(uvloop_peername(args[0], _YOUNG))
        return made

    def do_handshake(self) -> None:
        """Take the handshake further; once it is over, decide, in this call.

        Raises:
            SSLWantReadError: More bytes are needed.
            HandshakeRejected: The peer is refused.
        """
        latch = self._latch
        with self._deciding:
            if latch.state is not UNDECIDED:
                if latch.state is REFUSED:
                    raise latch.rejection()
                return
            tls: TLSObject = self.__dict__["_sslobj"]  # there from the beginning until it is dropped for a refusal
            try:
                if (self._begun and self._incoming is None) or self._begin(latch, tls):
                    tls.do_handshake()
                    decide_connection(latch, tls, self, self._enforcement, None)
            except BaseException as error:
                if latch.state is UNDECIDED and isinstance(error, _WANTS):
                    raise
                rejected = fail(self, tls, error)
                if rejected is not None:
                    raise rejected from error
                raise
            if self._latch.state is REFUSED:
                self._end()
                latch.log(self)
                raise latch.rejection()

    def _begin(self, latch: Latch, tls: TLSObject) -> bool:
        """Do what comes before the first bytes are read; return whether nothing is to be said against going on."""
        enforcement = self._enforcement
        if not self._begun:
            self._begun = True
            peername, plaintext = asyncio_origin()
            if peername is not None:
                latch.peername = peername
            if plaintext:
                latch.mark_refused(refusal("tls.plaintext-before", _PLAINTEXT))
                return False
            if enforcement is not None and not prepare(latch, tls, enforcement):
                return False
        if self._incoming is not None:
            self._keep_first_bytes(latch, self._incoming)
        return True

    def _keep_first_bytes(self, latch: Latch, incoming: ssl.MemoryBIO) -> None:
        """Take note of what OpenSSL is about to read first; the bytes stay where they are."""
        if incoming.pending:
            latch.first_bytes = incoming.read()
            incoming.write(latch.first_bytes)
            self._incoming = None

    def _decide_now(self) -> None:
        self.do_handshake()

    def _without_tls(self) -> None:
        raise self._latch.rejection()

    def _end(self) -> None:
        self.__dict__["_sslobj"] = None

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - the parameter of ssl.SSLObject.read
        """Read application data; see `ssl.SSLObject.read`."""
        if self._latch.state is not ADMITTED:
            before_data(self)
        try:
            return super().read(len, buffer)
        except _WANTS:
            raise
        except ssl.SSLError as error:
            note_alert(self, tls_object(self), error)
            raise

    def write(self, data: Any) -> int:
        """Write application data; see `ssl.SSLObject.write`."""
        if self._latch.state is not ADMITTED:
            before_data(self)
        return super().write(data)

    def verify_client_post_handshake(self) -> None:
        """Refuse: `request_certificate` asks, and decides on what comes."""
        refuse_late_question(self)

    @property
    def context(self) -> ssl.SSLContext:
        """The context in use; a callback for server names sets another one during the handshake."""
        tls = tls_object(self)
        if tls is None:
            raise self._latch.rejection()
        return tls.context

    @context.setter
    def context(  # pyright: ignore[reportIncompatibleVariableOverride]  # a property in ssl too
        self, context: ssl.SSLContext
    ) -> None:
        tls = tls_object(self)
        if tls is None:
            raise self._latch.rejection()
        tls.context = context

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session; see `ssl.SSLObject.session`."""
        if self._latch.state is not ADMITTED:
            before_identity(self)
        return super().session

    @session.setter
    def session(  # pyright: ignore[reportIncompatibleVariableOverride]  # a property in ssl too
        self, session: ssl.SSLSession | None
    ) -> None:
        if self._latch.state is REFUSED:
            raise self._latch.rejection()
        _SESSION.__set__(self, session)
