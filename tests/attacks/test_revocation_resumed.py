"""An attack by resumption: of a resumed session no chain is left, and the issuer's word is asked for all the same."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path

import pytest

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.revocation._ledger import Ledger
from mtlspolicy.testing import CertificateAuthority
from tests.revocation.refreshing import running, until


class _Visits:
    """A client that comes again and again, resuming its session, to a server on loopback."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self._server = server
        self._client = client
        self._session: ssl.SSLSession | None = None
        self.resumed: bool | None = None
        self.refusal = ""

    def come(self) -> bool:
        """Return whether the server said something; `refusal` is the error that it met."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = threading.Thread(target=self._serve, args=(listening,))
            serving.start()
            said = b""
            with (
                contextlib.suppress(OSError),
                socket.create_connection(listening.getsockname(), 20) as plain,
                self._client.wrap_socket(plain, server_hostname="localhost", session=self._session) as connection,
            ):
                self.resumed = connection.session_reused
                said = connection.recv(10)
                self._session = connection.session if said else self._session
                connection.unwrap()
            serving.join()
        return said == b"in"

    def _serve(self, listening: socket.socket) -> None:
        plain, _ = listening.accept()
        self.refusal = ""
        try:
            with self._server.wrap_socket(plain, server_side=True) as connection:
                connection.do_handshake()
                connection.sendall(b"in")
                with contextlib.suppress(OSError):
                    connection.unwrap()
        except OSError as error:
            self.refusal = str(error)


@pytest.mark.parametrize("known", [True, False], ids=["issuer in the store", "issuer only in the first handshake"])
def test_attack_a_resumed_session_has_no_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool) -> None:
    """The issuer whose word counts comes from the store and never from what a resumed session lacks: none, no entry."""
    monkeypatch.setattr(Ledger, "_part", lambda *_args, **_options: 0.05)
    root = CertificateAuthority("Root")
    issuing = root.intermediate("Issuing CA")
    trust = TrustStore(anchors=[root.certificate], intermediates=[issuing.certificate] if known else [])
    policy = policies.CommonName("frodo") & policies.NotRevoked(scope="end-entity")
    issued = root.issue_server("localhost")
    with running(issuing) as site, site.refresher(deadline=8.0) as refresher:
        context = tls.server_context(
            credential=tls.Credential.from_pem(issued.chain_pem, issued.key_pem),
            verifier=Verifier.for_clients(trust=trust, policy=policy),
            options=tls.ServerOptions(resolver=refresher.resolver(deadline=9.0)),
        )
        client = ssl.create_default_context(cadata=root.pem.decode())
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        frodo = site.client()
        client.load_cert_chain(*frodo.files(tmp_path, name="frodo"))
        visits = _Visits(context, client)
        assert visits.come()
        issuing.revoke(frodo)
        until(lambda: not visits.come())
        assert visits.resumed
        codes = ["ocsp.revoked"] if known else ["ocsp.revoked", "resumption.no-path"]
        assert any(code in visits.refusal for code in codes)
