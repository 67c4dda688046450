"""The names under which WSGI servers tell of a client's certificate. It states what was decided and decides nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from mtlspolicy._pem import write_pem
from mtlspolicy.integrations._admission import ADMISSION, Admission

__all__ = ["write_names"]

_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"


def write_names(environ: dict[str, Any], admission: Admission) -> None:
    """Write who was admitted; names are escaped RFC 4514 text, and still hostile where they are printed elsewhere."""
    environ[ADMISSION] = admission
    who = admission.peer
    if who is None:
        return  # SSL_CLIENT_VERIFY=NONE is there already
    certificate = who.certificate
    environ.update(
        SSL_CLIENT_VERIFY="SUCCESS",
        SSL_CLIENT_S_DN=str(who.subject),
        SSL_CLIENT_I_DN=str(who.issuer),
        SSL_CLIENT_M_SERIAL=f"{who.serial_number:X}",
        SSL_CLIENT_V_START=_time(certificate.not_valid_before_utc),
        SSL_CLIENT_V_END=_time(certificate.not_valid_after_utc),
        SSL_CLIENT_CERT=write_pem(who.presented.ders[0]),
    )


def _time(at: datetime) -> str:
    """Return *at* as OpenSSL and mod_ssl print it: ``Nov  9 08:00:00 2026 GMT``."""
    month = _MONTHS[at.month * 3 - 3 : at.month * 3]  # strftime speaks the language of the process
    return f"{month} {at.day:2d} {at:%H:%M:%S %Y} GMT"
