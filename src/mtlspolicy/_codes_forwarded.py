"""The reason codes about forwarded certificates and about tenants. A part of the table in `_codes`."""

from __future__ import annotations

from typing import Final

from mtlspolicy._codes_outcomes import (
    DENIED,
    LARGE_HEADER,
    MALFORMED_HEADER,
    TOO_EARLY,
    UNAVAILABLE,
    UNKNOWN_CA,
    UNTRUSTED_PROXY,
    Code,
)

FORWARDED_CODES: Final[dict[str, Code]] = {
    "forwarded.malformed": Code("a header that is not what its dialect says", MALFORMED_HEADER),
    "forwarded.alias": Code("a header whose name may be taken for one that is read", MALFORMED_HEADER),
    "forwarded.duplicate": Code("a header that is there twice", MALFORMED_HEADER),
    "forwarded.connection": Code("Connection names a header that is read", MALFORMED_HEADER),
    "forwarded.companion": Code(
        "a certificate without the proxy's verdict on it, or the other way round", MALFORMED_HEADER
    ),
    "forwarded.trailer": Code("a header that is read, as a trailer or announced as one", MALFORMED_HEADER),
    "forwarded.http-version": Code("a certificate forwarded in HTTP/1.0 or 0.9", MALFORMED_HEADER),
    "forwarded.text-only": Code("words about a certificate in place of the certificate", MALFORMED_HEADER),
    "forwarded.marker": Code("the header with which the proxy marks each request is not there", MALFORMED_HEADER),
    "forwarded.hops": Code("the header has not as many elements as there are proxies", MALFORMED_HEADER),
    "forwarded.early-data": Code("a certificate with a request that was sent as early data", TOO_EARLY),
    "forwarded.too-large": Code("headers, or certificates in them, over the limits", LARGE_HEADER),
    "forwarded.untrusted-proxy": Code("a certificate forwarded by somebody who is not the proxy", UNTRUSTED_PROXY),
    "forwarded.not-verified": Code("the proxy says that the certificate did not verify", DENIED),
    "tenant.unknown": Code("the index lists no tenant of this name", UNKNOWN_CA),
    "tenant.no-anchor": Code("neither the tenant nor what is common to all lists a trust anchor", UNKNOWN_CA),
    "tenant.foreign": Code("the certificate is valid under the anchors of another tenant", UNKNOWN_CA),
    "tenant.broken": Code("a file of the tenant cannot be read", UNAVAILABLE),
}
