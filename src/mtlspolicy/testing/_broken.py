"""The catalogue of broken certificates, asked for by name: what a verifier has to refuse, or to judge with care.

Each is issued by (or below) an authority of the test and comes with its private key, so that it can be presented in a
real handshake. Nothing here says what the library answers; that is for the tests that use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing._authority import CertificateAuthority
from mtlspolicy.testing._broken_encoding import ENCODINGS
from mtlspolicy.testing._broken_names import NAMES
from mtlspolicy.testing._broken_paths import PATHS, USAGES
from mtlspolicy.testing._catalogue import Defect
from mtlspolicy.testing._issued import IssuedCertificate

_DEFECTS: Final[dict[str, Defect]] = USAGES | PATHS | NAMES | ENCODINGS

BROKEN: Final[Mapping[str, str]] = MappingProxyType({name: defect.description for name, defect in _DEFECTS.items()})
"""Name of each broken certificate to one sentence that says what is wrong with it."""


def broken(name: str, authority: CertificateAuthority) -> IssuedCertificate:
    """Make the broken certificate *name*: a client's, good in all respects but the one that ``BROKEN[name]`` states.

    Where the fault is in a CA, ``.issuers_der`` holds an intermediate below *authority* that has it; where it is in the
    root, ``.root`` is made for the occasion, with the authority's name and key. ``.certificate`` raises ``ValueError``
    for those that do not parse; ``.der``, ``.certificate_pem``, ``.chain_pem`` and ``.files`` always work.

    Args:
        name: A key of `BROKEN`.
        authority: The issuer; root or intermediate, with an EC or RSA key (P-256 is the default).

    Raises:
        ConfigurationError: The name is unknown, or the authority's kind of key cannot make this one.
    """
    try:
        defect = _DEFECTS[name]
    except KeyError:
        raise ConfigurationError(
            f"no broken certificate is called {name!r}: the names are {', '.join(_DEFECTS)}"
        ) from None
    return defect.make(authority)
