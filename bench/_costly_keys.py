"""The RSA key that costs a verifier most within the limits: 8192 bits, and an exponent of 32 bits almost all ones.

Made of four primes, since generating two of 4096 bits takes a minute. For certificates of attackers, and nothing else.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import rsa

from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade, assemble

_ALGORITHM = der.sequence(der.object_identifier("1.2.840.113549.1.1.11"), der.null())
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""DigestInfo of SHA-256 before the digest (RFC 8017, section 9.2)."""


class CostlyKey:
    """An RSA key of four primes that signs PKCS #1 v1.5 with SHA-256.

    Args:
        bits: Size of the modulus; a multiple of 1024.
    """

    def __init__(self, bits: int = 8192) -> None:
        self.primes: list[int] = []
        for _ in range(2):
            numbers = rsa.generate_private_key(65537, bits // 2).private_numbers()
            self.primes += [numbers.p, numbers.q]
        self.modulus = math.prod(self.primes)
        order = math.prod(prime - 1 for prime in self.primes)
        self.exponent = next(e for e in range(2**32 - 1, 2**31, -2) if math.gcd(e, order) == 1)
        self.private = pow(self.exponent, -1, order)

    @property
    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        key = der.sequence(der.integer(self.modulus), der.integer(self.exponent))
        return der.sequence(
            der.sequence(der.object_identifier("1.2.840.113549.1.1.1"), der.null()), der.bit_string(key)
        )

    def sign(self, data: bytes) -> bytes:
        """Return the signature of *data*."""
        size = (self.modulus.bit_length() + 7) // 8
        content = _DIGEST_INFO + hashlib.sha256(data).digest()
        padded = int.from_bytes(b"\x00\x01" + b"\xff" * (size - len(content) - 3) + b"\x00" + content, "big")
        signature = 0
        for prime in self.primes:  # the Chinese remainder theorem: a sixteenth of the work
            rest = self.modulus // prime
            part = pow(padded % prime, self.private % (prime - 1), prime)
            signature += part * rest * pow(rest, -1, prime)
        return (signature % self.modulus).to_bytes(size, "big")

    def certificate(self, like: HandMade) -> bytes:
        """Return *like*, signed with this key."""
        tbs = like.to_be_signed(_ALGORITHM)
        return assemble(tbs, _ALGORITHM, self.sign(tbs))

    def key_of(self, like: HandMade) -> HandMade:
        """Return *like* with this key as its subject's."""
        return replace(like, public_key=self.public_key)
