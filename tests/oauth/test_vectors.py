"""The published cases of RFC 8705: the certificate of appendix A, and the illustration of section 3.1.

They lie beside the repository and are not part of it; without them this module is skipped.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import pytest

from mtlspolicy import Possession, PresentedChain, oauth
from tests.conformance.support import DATA, load

CASES: Final[Mapping[str, Mapping[str, Any]]] = {
    case["id"]: case["expected"] for case in load("headers", "cases") if case["format"] == "oauth-cnf"
}
APPENDIX_A: Final = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"


@pytest.mark.parametrize("case", CASES)
def test_published_cases(case: str) -> None:
    """Each is bound to its certificate, or is not, as published."""
    expected = CASES[case]
    sender = PresentedChain((base64.b64decode(expected["cert_der"]),), Possession.TLS)
    if expected["binding_ok"]:
        assert oauth.cnf(sender) == expected["cnf"]
        assert oauth.confirm({"cnf": expected["cnf"]}, sender).thumbprint == expected["cnf"]["x5t#S256"]
    else:
        with pytest.raises(oauth.TokenBindingError) as raised:
            oauth.confirm({"cnf": expected["cnf"]}, sender)
        assert raised.value.code == "oauth.other-certificate"


def test_there_are_cases() -> None:
    """Were none found, the test above would prove nothing."""
    assert {expected["binding_ok"] for expected in CASES.values()} == {True, False}


def test_appendix_a() -> None:
    """X.509 v1 and expired in 2022, and a thumbprint all the same: the resource server does not validate it."""
    pem = (DATA / "rfc8705_appendix_a.pem").read_bytes()
    assert oauth.thumbprint(pem) == APPENDIX_A
    sender = PresentedChain.parse(pem, possession=Possession.TLS)
    assert oauth.confirm({"cnf": {"x5t#S256": APPENDIX_A}}, sender).thumbprint == APPENDIX_A
