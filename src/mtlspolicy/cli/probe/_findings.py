"""The findings of a probe: what each stable code means, its weight, and what mends it. A table, no judgement."""

from __future__ import annotations

from typing import Final, NamedTuple

GRADES: Final = {
    "A": "nothing to mend",
    "B": "works, with something to mend or something that could not be seen",
    "C": "offers what should be switched off",
    "D": "partners will fail to connect",
    "F": "lets in whom it must not, or cannot be verified as the server that is meant",
}
"""What each grade means, the best first. C and below fail."""
FAILING: Final = frozenset("CDF")


class Kind(NamedTuple):
    """What a code stands for.

    Attributes:
        grade: The best grade that is possible with it; ``A`` for what is merely said.
        title: In a few words.
        remedy: What the server's operator does about it; empty where there is nothing to do.
    """

    grade: str
    title: str
    remedy: str = ""


KINDS: Final[dict[str, Kind]] = {
    # whom it lets in
    "probe.none-served": Kind(
        "F",
        "served without a certificate",
        "ask for certificates on this port and refuse who has none (nginx: ssl_verify_client on)",
    ),
    "probe.another-ca-served": Kind(
        "F",
        "a certificate of any CA is served",
        "verify client certificates against your partners' CAs alone; optional_no_ca and its like verify nothing",
    ),
    "probe.expired-served": Kind(
        "F", "an expired certificate is served", "do not override the verification of dates; look at the server's clock"
    ),
    "probe.wrong-use-served": Kind(
        "F",
        "a certificate for servers is served as a client",
        "verify the extended key usage: only certificates with clientAuth are for clients",
    ),
    # who the server is
    "probe.unverified": Kind(
        "F",
        "the server is not verified",
        "install a certificate for this name, of a CA that its clients trust, with the intermediates; or give the CA "
        "with --ca and the name with --server-name",
    ),
    "probe.staple-revoked": Kind(
        "F", "its own OCSP response says revoked", "have a new certificate issued, for a new key"
    ),
    # who cannot connect
    "probe.good-refused": Kind(
        "D",
        "the good certificate is refused",
        "compare the CAs, names and pins that the server allows with this certificate: mtlspolicy explain",
    ),
    "probe.not-asked": Kind(
        "D",
        "the server asks for no certificate",
        "ask for one in the handshake: one that is asked for later, by the path, reaches few clients",
    ),
    "probe.chain-none": Kind("D", "no certificate was sent", "configure the server's certificate"),
    "probe.chain-unreadable": Kind("D", "a certificate cannot be read", "have it issued again"),
    "probe.chain-incomplete": Kind(
        "D",
        "an issuer is missing from the chain",
        "send the intermediates after the server's certificate (the file called fullchain or chain); where the CA is a "
        "private one, give its certificate with --ca",
    ),
    "probe.expired": Kind("D", "a certificate has expired", "renew it, and have the renewal run by itself"),
    "probe.not-yet-valid": Kind(
        "D", "a certificate is not valid yet", "look at the clocks of the CA and of this machine"
    ),
    "probe.no-san": Kind("D", "no subjectAltName", "have the certificate issued with its DNS names"),
    "probe.only-old-versions": Kind("D", "neither TLS 1.2 nor TLS 1.3", "switch TLS 1.2 and 1.3 on"),
    # what should be switched off
    "probe.old-version": Kind("C", "an old version is offered", "switch TLS 1.0 and 1.1 off (RFC 8996)"),
    "probe.broken-suite": Kind("C", "a broken cipher suite is offered", "switch it off (RFC 9325, section 4.1)"),
    "probe.weak-certificate": Kind(
        "C", "a weak certificate", "have it issued again with SHA-256 for a key of EC P-256 or RSA 2048 at least"
    ),
    # what to mend
    "probe.chain-order": Kind("B", "certificates in the wrong order", "put each certificate before its issuer's"),
    "probe.chain-extra": Kind("B", "certificates that do not belong there", "send the server's own chain and no more"),
    "probe.expires-soon": Kind("B", "a certificate expires soon", "renew it"),
    "probe.no-tls13": Kind("B", "no TLS 1.3", "switch TLS 1.3 on: it hides client certificates from those who listen"),
    "probe.no-forward-secrecy": Kind(
        "B", "suites without forward secrecy", "offer ECDHE suites only (RFC 9325, section 4.1)"
    ),
    "probe.unclear": Kind(
        "B",
        "neither served nor plainly refused",
        "refuse in the handshake or with 403, so that a partner sees what is wrong",
    ),
    "probe.good-unclear": Kind(
        "B",
        "the good certificate is neither served nor plainly refused",
        "have a page asked for that answers 200 (--path), say which status means served (--expect-status), or that the "
        "server does not speak HTTP (--no-http)",
    ),
    "probe.resumption-refused": Kind(
        "B", "a resumed session is refused", "judge resumed sessions as new ones, or offer no resumption"
    ),
    "probe.staple-unusable": Kind("B", "the stapled OCSP response cannot be used", "look at the server's OCSP set-up"),
    # what was not seen, and keeps a good grade from being given on trust
    "probe.good-not-tried": Kind("B", "the good certificate was not tried"),
    "probe.none-not-tried": Kind("B", "a connection without a certificate was not tried"),
    "probe.not-finished": Kind("B", "the probe was not finished", "give it more time with --timeout"),
    # what is merely said
    "probe.root-sent": Kind(
        "A", "the root was sent", "leave it out: it costs bytes in each handshake and convinces nobody"
    ),
    "probe.chain-duplicate": Kind("A", "a certificate was sent twice", "leave the copy out"),
    "probe.closed": Kind(
        "A", "a refusal without an alert", "send a TLS alert or HTTP 403, so that a partner sees why it is refused"
    ),
    "probe.no-authorities": Kind(
        "A",
        "no names of acceptable CAs",
        "send them, for clients that choose among several certificates, browsers above all",
    ),
    "probe.no-staple": Kind("A", "no OCSP response is stapled", "switch stapling on where the CA has a responder"),
    "probe.no-resumption": Kind("A", "sessions are not resumed"),
}
"""Every code that a report can hold, in the order of their weight."""
