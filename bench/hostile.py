"""The worst that a peer can present within the default limits: what one refusal may cost, in milliseconds.

A stranger has no certificate of ours; a hostile CA has one that our root signed and issues what it likes below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from bench._costly_keys import CostlyKey
from bench._harness import Row, Scale, at_most, cost, cost_row, timed
from mtlspolicy import Policy, TrustStore, Verifier, policies
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import Extension, HandMade

Case = tuple[TrustStore, list[bytes]]
ROOT_NAME = "mtlspolicy bench root"
SPARE = 200
"""Bytes of a certificate's limit that are left free, for what its other fields may grow by."""


def _impostors(count: int, **options: str) -> list[CertificateAuthority]:
    """Return CAs that have the name of our root and keys of their own."""
    return [CertificateAuthority(ROOT_NAME, **options) for _ in range(count)]  # type: ignore[arg-type]


def _ring(kind: str) -> Case:
    """Five CAs with the name of the root, each certified by each other: as many candidate paths as are tried."""
    root = CertificateAuthority(ROOT_NAME, key=kind)
    ring = _impostors(5, key=kind)
    ders = [ring[0].issue_client("client").der]
    ders += [ring[(place + 1) % 5].cross_sign(authority).der for place, authority in enumerate(ring)]
    return TrustStore(anchors=[root.certificate]), ders


def _costly(scale: Scale) -> Case:
    """The same with the most expensive RSA key that is accepted, for every signature that the peer chooses."""
    key = CostlyKey(scale.size(8192, 2048))
    root = CertificateAuthority(ROOT_NAME)
    model = HandMade.of(CertificateAuthority(ROOT_NAME, key="rsa-2048").certificate)
    model = model.without(ExtensionOID.SUBJECT_KEY_IDENTIFIER).without(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    ring = [key.certificate(replace(key.key_of(model), serial=der.integer(number))) for number in range(1, 6)]
    leaf = HandMade.of(root.issue_client("client").certificate).without(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    return TrustStore(anchors=[root.certificate]), [key.certificate(key.key_of(leaf)), *ring]


def _costly_below_a_hostile_ca(scale: Scale) -> Case:
    """A path of four, valid up to the signature of the end entity, with the most expensive keys below the root."""
    key = CostlyKey(scale.size(8192, 2048))
    root = CertificateAuthority(ROOT_NAME)
    upper, lower = root.intermediate("upper"), root.intermediate("lower")
    first = key.key_of(HandMade.of(upper.certificate)).signed_by(root.key)
    second = replace(key.key_of(HandMade.of(lower.certificate)), issuer=upper.certificate.subject.public_bytes())
    leaf = lower.issue_client("client")
    changed = bytearray(key.certificate(HandMade.of(leaf.certificate)))
    changed[-1] ^= 1
    return TrustStore(anchors=[root.certificate]), [bytes(changed), key.certificate(second), first]


def _filled(certificate: x509.Certificate, room: int, grow: Callable[[HandMade, int], HandMade]) -> HandMade:
    """Return the certificate with as many entries of *grow* as fit into *room* bytes."""
    hand = HandMade.of(certificate)
    low, high = 0, room
    while high - low > 1:
        middle = (low + high) // 2
        if len(grow(hand, middle).to_be_signed(b"")) <= room - SPARE:
            low = middle
        else:
            high = middle
    return grow(hand, low)


def _extensions(hand: HandMade, count: int) -> HandMade:
    more = tuple(Extension(f"1.{number % 40}.{number}", b"") for number in range(count))
    return replace(hand, extensions=(*hand.extensions, *more))


def _attributes(hand: HandMade, count: int) -> HandMade:
    one = der.set_of(der.sequence(der.object_identifier("2.5.4.11"), der.printable_string("x")))
    return replace(hand, subject=der.sequence(one * count))


def _odd_names(hand: HandMade, count: int) -> HandMade:
    """Many directory names of one attribute each, all in one subjectAltName."""
    name = der.explicit(
        4, der.sequence(der.set_of(der.sequence(der.object_identifier("2.5.4.3"), der.utf8_string("é"))))
    )
    return hand.setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, der.sequence(name * count))


def _swollen(grow: Callable[[HandMade, int], HandMade]) -> Case:
    """A stranger's chain of four certificates, each as large as allowed and full of the smallest things to read."""
    root = CertificateAuthority(ROOT_NAME)
    impostors = _impostors(3)
    room = 16 * 1024
    leaf = _filled(impostors[0].issue_client("client").certificate, room, grow).signed_by(impostors[0].key)
    issuers = [_filled(one.certificate, room, grow).signed_by(one.key) for one in impostors]
    return TrustStore(anchors=[root.certificate]), [leaf, *issuers]


def _swollen_issuers(grow: Callable[[HandMade, int], HandMade]) -> Case:
    """A path of four below a hostile CA, valid but for the end entity's signature, and every CA full."""
    root = CertificateAuthority(ROOT_NAME)
    upper = root.intermediate("upper")
    lower = upper.intermediate("lower")
    room = 15 * 512  # a certificate holds its own name and that of its issuer
    above = _filled(upper.certificate, room, grow)
    below = replace(_filled(lower.certificate, room, grow), issuer=above.subject)
    hand = replace(HandMade.of(lower.issue_client("client").certificate), issuer=below.subject)
    leaf = bytearray(hand.signed_by(lower.key))
    leaf[-1] ^= 1
    first, second = above.signed_by(root.key), below.signed_by(upper.key)
    return TrustStore(anchors=[root.certificate]), [bytes(leaf), second, first]


def _constrained(subtrees: int) -> Case:
    """A hostile CA with many name constraints, of which the last permits, and 128 names below it."""
    root = CertificateAuthority(ROOT_NAME)
    bases = [x509.DNSName(f"n{number}.example") for number in range(subtrees)]
    constraints = x509.NameConstraints(permitted_subtrees=bases, excluded_subtrees=None)
    hostile = root.intermediate("hostile", name_constraints=constraints)
    leaf = hostile.issue_client("client", dns=[f"a{number}.n{subtrees - 1}.example" for number in range(128)])
    return TrustStore(anchors=[root.certificate]), [leaf.der, hostile.der]


def _common_names(count: int) -> Case:
    """An end entity of a hostile CA with a subject of as many common names as fit."""
    root = CertificateAuthority(ROOT_NAME)
    hostile = root.intermediate("hostile")
    names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"c{number}") for number in range(count)])
    leaf: IssuedCertificate = hostile.issue_client(subject=names, dns=["client.test"])
    return TrustStore(anchors=[root.certificate]), [leaf.der, hostile.der]


def cases(scale: Scale) -> dict[str, Callable[[], Case]]:
    """Return what is presented, by name."""
    return {
        "five impostors of the root certifying each other, P-256": partial(_ring, "ec-p256"),
        "the same, P-521": partial(_ring, "ec-p521"),
        "the same, RSA of 8192 bits and a long exponent": partial(_costly, scale),
        "a hostile CA, RSA of 8192 bits and a long exponent": partial(_costly_below_a_hostile_ca, scale),
        "four certificates of 16 KiB full of extensions": partial(_swollen, _extensions),
        "four certificates of 16 KiB full of attributes": partial(_swollen, _attributes),
        "four certificates of 16 KiB full of directory names": partial(_swollen, _odd_names),
        "a hostile CA, certificates full of extensions": partial(_swollen_issuers, _extensions),
        "a hostile CA, certificates full of attributes": partial(_swollen_issuers, _attributes),
        "690 name constraints and 128 names": partial(_constrained, 690),
        "64 name constraints and 128 names": partial(_constrained, 64),
        "700 common names": partial(_common_names, 700),
    }


def _refuse(store: TrustStore, policy: Policy, chain: list[bytes]) -> str:
    """Refuse as a server does that never saw this peer, and explain."""
    return Verifier.for_clients(trust=store, policy=policy).decide(chain).explain()


def rows(scale: Scale) -> Iterator[Row]:
    """Yield a row for each case, and the worst of them."""
    worst = Row("", 0.0)
    for name, make in cases(scale).items():
        store, chain = make()
        policy = policies.CommonName("nobody") & policies.DNSName("nobody.test")
        decision = Verifier.for_clients(trust=store, policy=policy).decide(chain)
        if decision:
            raise AssertionError(f"{name}: admitted")
        work = partial(_refuse, store, policy, chain)
        row = cost_row(f"hostile: {name}", cost(timed(work), rounds=scale.rounds(15)), "ms", None)
        yield replace(row, note=decision.code)
        if row.value is not None and worst.value is not None and row.value > worst.value:
            worst = row
    yield replace(worst, name="worst hostile chain within the default limits", budget=at_most(20), note=worst.name)
