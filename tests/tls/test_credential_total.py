"""Any bytes give a `Credential` or a `ConfigurationError`, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlspolicy._pem import write_pem
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.tls._credential import Credential

ISSUING = CertificateAuthority("Total Root").intermediate("Total Issuing CA")
SERVER = ISSUING.issue_server("server.test")
CHAIN, KEY = SERVER.chain_pem, SERVER.key_pem
ENCRYPTED = SERVER.encrypted_key_pem(b"\x00" * 300)  # no junk of the tests below opens it
DER_KEY = SERVER.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
UNENCRYPTED_PKCS12 = SERVER.pkcs12(None)


@settings(max_examples=150)
@given(data=st.data())
def test_any_bytes_give_a_credential_or_a_configuration_error(data: st.DataObject) -> None:
    """Whatever is wrong with chain, key or PKCS #12, no error of another library comes out."""
    originals = {"chain": SERVER.der, "key": DER_KEY, "pkcs12": UNENCRYPTED_PKCS12}
    which = data.draw(st.sampled_from(sorted(originals)))
    damaged = bytearray(originals[which])
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    label = {"chain": "CERTIFICATE", "key": "PRIVATE KEY"}.get(which, "")
    pem = write_pem(bytes(damaged), label)
    shown: list[str] = []
    try:
        if which == "pkcs12":
            credential = Credential.from_pkcs12(bytes(damaged))
        else:
            credential = Credential.from_pem(pem if which == "chain" else CHAIN, pem if which == "key" else KEY)
    except ConfigurationError as error:
        shown = [str(error)]
    else:
        shown = [repr(credential), *map(str, credential.findings("server", datetime(2001, 1, 1, tzinfo=UTC)))]
    assert all(text.isprintable() for text in shown)


@given(data=st.binary(max_size=200) | st.text(max_size=200))
def test_junk_is_a_configuration_error(data: bytes | str) -> None:
    """Junk in every place is refused as our caller's error."""
    calls: tuple[Callable[[], object], ...] = (
        lambda: Credential.from_pem(data, KEY),
        lambda: Credential.from_pem(CHAIN, data),
        lambda: Credential.from_pem(CHAIN, ENCRYPTED, data),
        lambda: Credential.from_pkcs12(data if isinstance(data, bytes) else data.encode()),
    )
    for call in calls:
        with pytest.raises(ConfigurationError):
            call()
