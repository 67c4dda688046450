"""The names under which mod_ssl, and WSGI servers after it, tell of a client's certificate.

It states what was decided and decides nothing. Not written: ``SSL_CLIENT_CERT_RFC4523_CEA``, and the other parts of a
name, which ``SSL_CLIENT_S_DN`` has.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy._names import COMMON_NAME
from mtlspolicy._pem import write_pem
from mtlspolicy.integrations._admission import ADMISSION, Admission

if TYPE_CHECKING:
    from mtlspolicy._certificate import ParsedCertificate
    from mtlspolicy._names import DistinguishedName

__all__ = ["printable", "write_names"]

_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"


def write_names(environ: dict[str, Any], admission: Admission) -> None:
    """Write who was admitted; names are escaped, and still hostile where they are printed elsewhere.

    Whoever calls it has deleted what was there under ``SSL_CLIENT_``: a name that does not apply is not written.
    """
    environ[ADMISSION] = admission
    if admission.peer is not None:  # or SSL_CLIENT_VERIFY=NONE is there already
        environ.update(_names(admission.peer.path.certificates))


def printable(text: str) -> str:
    r"""Return *text*, all of it, with each character that a terminal or log could obey as its octets in UTF-8, ``\0A``.

    RFC 4514 text stays RFC 4514 text of the same name (section 3, hexpair), and of two names there are two texts.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _octets(one) for one in text)


def _value(text: str) -> str:
    """Return *text*, which is no RFC 4514, likewise: a backslash of its own is doubled."""
    return printable(text.replace("\\", "\\\\"))


def _octets(character: str) -> str:
    return "".join(f"\\{octet:02X}" for octet in character.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=256)
def _names(path: tuple[ParsedCertificate, ...]) -> Mapping[str, str]:
    """Return the names of one peer, whose *path* begins with the end entity: the same for each of its requests.

    The chain is that of the path, between the end entity and the anchor: what a client sent beside it is nothing that
    was decided.
    """
    leaf = path[0]
    certificate = leaf.certificate
    names = {
        "SSL_CLIENT_VERIFY": "SUCCESS",
        **_of_name("SSL_CLIENT_S_DN", leaf.subject),
        **_of_name("SSL_CLIENT_I_DN", leaf.issuer),
        "SSL_CLIENT_M_VERSION": str(certificate.version.value + 1),
        "SSL_CLIENT_M_SERIAL": _octets_of(leaf.serial_number),
        "SSL_CLIENT_V_START": _time(certificate.not_valid_before_utc),
        "SSL_CLIENT_V_END": _time(certificate.not_valid_after_utc),
        "SSL_CLIENT_CERT": write_pem(leaf.der),
    }
    for prefix, values in (
        ("SSL_CLIENT_SAN_DNS_", map(_value, leaf.names.dns_names)),
        ("SSL_CLIENT_SAN_Email_", map(_value, leaf.names.emails)),
        ("SSL_CLIENT_CERT_CHAIN_", (write_pem(one.der) for one in path[1:-1])),
    ):
        names.update((f"{prefix}{number}", value) for number, value in enumerate(values))
    return MappingProxyType(names)


def _of_name(key: str, name: DistinguishedName) -> dict[str, str]:
    """Return *name* under *key*, most specific first, and its CN.

    A name with a value that cannot be read is left out: it would be the text of other names as well. So is a CN that
    is not the only one: mod_ssl takes the first of several, and which one that is a client may have chosen.
    """
    common_names = name.values(COMMON_NAME)
    written = {key: printable(name.rfc4514())} if name.readable else {}
    if len(common_names) == 1 and common_names[0] is not None:
        written[f"{key}_CN"] = _value(common_names[0])
    return written


def _octets_of(number: int) -> str:
    """Return *number* as OpenSSL prints it: two upper-case digits for each octet, ``0A12``."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big").hex().upper()


def _time(at: datetime) -> str:
    """Return *at* as OpenSSL and mod_ssl print it: ``Nov  9 08:00:00 2026 GMT``."""
    month = _MONTHS[at.month * 3 - 3 : at.month * 3]  # strftime speaks the language of the process
    return f"{month} {at.day:2d} {at:%H:%M:%S %Y} GMT"
