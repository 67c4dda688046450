"""Signatures of a candidate path: from the anchor down, each pair once."""

from __future__ import annotations

import pytest

from mtlspolicy import _path_links
from mtlspolicy._certificate import ParsedCertificate, issued_by
from mtlspolicy._path_links import Links
from mtlspolicy.testing import CertificateAuthority

ROOT = CertificateAuthority("root")
ISSUING = ROOT.intermediate("issuing")
LEAF = ISSUING.issue_client("client")
PATH = tuple(map(ParsedCertificate, (LEAF.der, ISSUING.der, ROOT.der)))
IMPOSTOR = ParsedCertificate(CertificateAuthority("root").der)


def test_right_signatures_are_no_refusal() -> None:
    """Where each certificate signed the one below there is nothing to say."""
    assert Links().refusal(PATH) is None


def test_the_signature_nearest_to_the_anchor_is_verified_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under an anchor that did not sign, no key that the peer made is used; each pair is verified once."""
    asked: list[tuple[str, str]] = []

    def counted(below: ParsedCertificate, above: ParsedCertificate) -> bool:
        asked.append((str(below.subject), str(above.subject)))
        return issued_by(below, above)

    monkeypatch.setattr(_path_links, "issued_by", counted)
    links = Links()
    for _ in range(3):
        refusal = links.refusal((PATH[0], PATH[1], IMPOSTOR))
        assert refusal is not None
        assert refusal.code == "path.signature"
        assert "the signature of CN=issuing" in refusal.detail
    assert len(asked) == 1
    assert links.refusal(PATH) is None
    assert links.refusal(PATH) is None
    assert len(asked) == 3
