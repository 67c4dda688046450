"""Private keys: from PEM to a key object, and which kinds TLS can sign with.

It decides whether a key can be used at all, not whether it is strong enough, and never writes one anywhere.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._credential_pem import KeyBlock
from mtlspolicy.tls._credential_source import PasswordSource, Source

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)
"""Keys that TLS 1.3 has signature schemes for (RFC 8446, section 4.2.3, and ML-DSA)."""

_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")


def load_key(block: KeyBlock, source: Source, password: PasswordSource) -> PrivateKey:
    """Parse the private key in *block*, which stands in *source*; *password* is asked for only when it is encrypted.

    Raises:
        ConfigurationError: Encrypted without password or with a wrong one, malformed, or of a kind that TLS cannot use.
    """
    if block.label == "OPENSSH PRIVATE KEY":
        raise ConfigurationError(
            f"{source.name} holds a private key in OpenSSH's own form: convert a copy of it with "
            f"ssh-keygen -p -m PKCS8 -f {source.argument}",
            code="credential.key-kind",
        )
    key, problem = _parse(block, source, password)
    if problem is not None:
        raise ConfigurationError(f"{source.name} {problem}", code="credential.key")
    return usable_key(key, f"the key in {source.name}")


def _parse(block: KeyBlock, source: Source, password: PasswordSource) -> tuple[object, str | None]:
    # Problems are texts, so that the error is raised outside the handlers: it carries no context with the key's bytes.
    secret = password.ask(f"the key in {source.name}") if block.encrypted else None
    if block.encrypted and secret is None:
        return None, (
            "holds an encrypted private key and no password was given: pass password=, as text, bytes or a callable, "
            f"or store the key unencrypted with openssl pkey -in {source.argument} -out plain.key && chmod 0400 "
            "plain.key"
        )
    try:
        return load_pem_private_key(block.text.reveal(), None if secret is None else secret.reveal()), None
    except UnsupportedAlgorithm:
        return None, f"holds a private key of a kind that cryptography does not know: {_KINDS}"
    except (ValueError, TypeError) as error:
        unknown = "unknown cipher" in str(error)
    if unknown:
        return None, (
            "holds a private key under an old cipher that cryptography does not read: encrypt it anew with "
            f"openssl pkcs8 -topk8 -v2 aes-256-cbc -in {source.argument} -out new.key"
        )
    if block.encrypted:
        return None, (
            "holds an encrypted private key, and the password does not open it: pass the right password=, and try it "
            f"with openssl pkey -in {source.argument} -noout"
        )
    return None, (
        f"holds a private key that cannot be read: try openssl pkey -in {source.argument} -noout, and copy the file "
        "again, whole"
    )


_KINDS: Final = (
    "TLS needs RSA, EC on P-256, P-384 or P-521, Ed25519, Ed448 or ML-DSA; make one with openssl genpkey -algorithm EC "
    "-pkeyopt ec_paramgen_curve:P-256 -out new.key, and have a certificate issued for it"
)


def usable_key(key: object, name: str) -> PrivateKey:
    """Return *key*, called *name* in messages, when TLS has signature schemes for its kind.

    Raises:
        ConfigurationError: It is something else, such as a DSA key, a curve that TLS 1.3 does not sign with, a public
            key.
    """
    if isinstance(key, ec.EllipticCurvePrivateKey):
        kind = f"an EC key on the curve {key.curve.name}"
        if key.curve.name in _CURVES:
            return key
    elif isinstance(key, PrivateKey):
        return key
    else:
        kind = f"a {type(key).__name__}"
    raise ConfigurationError(f"{name} is {kind}, which this library does not use: {_KINDS}", code="credential.key-kind")
