"""Traefik: the bodies of PEM, leaf first, with commas between."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.forwarded import JoinedHeaders
from tests.forwarded.certificate_forms import der_base64_list
from tests.forwarded.writing import FRODO, ISSUING, PROXY, ROOT, SAM, TRUSTED, VERIFIER, escaped

HEADER = "X-Forwarded-Tls-Client-Cert"
SOURCE = forwarded.traefik(trusted=TRUSTED)


def test_the_first_of_the_list_is_the_client() -> None:
    """All that the client presented is read, its own certificate first."""
    chain = SOURCE.read([(HEADER, der_base64_list(FRODO.der, ISSUING.der, ROOT.der))], peer=PROXY)
    assert chain is not None
    assert chain.ders == (FRODO.der, ISSUING.der, ROOT.der)
    assert VERIFIER.verify(chain).common_name == "frodo"


@pytest.mark.parametrize("write", [quote, quote_plus, lambda text: quote(text, safe=""), lambda _: escaped(FRODO.der)])
def test_escaped_values_of_old_versions_are_refused(write: Callable[[str], str]) -> None:
    """Early versions escaped what newer ones do not: no second reading is tried."""
    value = write(der_base64_list(FRODO.der, ISSUING.der))
    with pytest.raises(MalformedEvidence) as caught:
        SOURCE.read([(HEADER, value)], peer=PROXY)
    assert caught.value.code == "forwarded.malformed"


@pytest.mark.parametrize("glue", [",,", ", ", " ,", ";", " "])
def test_commas_and_nothing_else(glue: str) -> None:
    """An empty or padded element is not what Traefik writes."""
    with pytest.raises(MalformedEvidence):
        SOURCE.read([(HEADER, glue.join(map(der_base64_list, (FRODO.der, ISSUING.der))))], peer=PROXY)


def test_attack_evil_becomes_the_leaf_under_wsgi() -> None:
    """A client's own header, joined before the real one by the gateway, is not the leaf of a list."""
    evil = JoinedHeaders({HEADER.lower(): der_base64_list(SAM.der, FRODO.der)})
    with pytest.raises(MalformedEvidence, match="joined") as caught:
        SOURCE.read(evil, peer=PROXY)
    assert caught.value.code == "forwarded.duplicate"


def test_info_is_not_read() -> None:
    """Names in the unquoted Info header are the client's words: they are no certificate and no error."""
    assert SOURCE.read([(f"{HEADER}-Info", "Subject%3D%22CN%3Dfrodo%22")], peer=PROXY) is None
