"""PROXY protocol version 2: addresses and words of a proxy, read to the byte."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import Connection, PresentedChain, TrustStore, Verifier, policies
from mtlspolicy._chain import Possession
from mtlspolicy.errors import MalformedEvidence, PolicyDenied
from mtlspolicy.forwarded import ProxyHeader, ProxyTLS
from mtlspolicy.forwarded._proxy_protocol import _crc32c
from tests.forwarded.writing import FRODO, ISSUING, ROOT

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
V4 = ip_address("192.0.2.1").packed + ip_address("198.51.100.2").packed + struct.pack("!HH", 4711, 443)
V6 = ip_address("2001:db8::1").packed + ip_address("2001:db8::2").packed + struct.pack("!HH", 4711, 443)


def header(body: bytes, *, command: int = 0x21, family: int = 0x11) -> bytes:
    """Return a header with *body* after the length."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def tlv(kind: int, value: bytes) -> bytes:
    """Return one field."""
    return struct.pack("!BH", kind, len(value)) + value


def ssl(client: int, verify: int, *fields: bytes) -> bytes:
    """Return the field PP2_TYPE_SSL."""
    return tlv(0x20, struct.pack("!BI", client, verify) + b"".join(fields))


def refused(data: bytes) -> str:
    """Return the message with which *data* is refused as malformed."""
    with pytest.raises(MalformedEvidence) as caught:
        ProxyHeader.parse(data)
    assert caught.value.code == "forwarded.malformed"
    return str(caught.value)


def checksummed(body: bytes) -> bytes:
    """Return a header with *body* and its checksum."""
    blank = header(body + tlv(0x03, bytes(4)))
    return blank[:-4] + struct.pack("!I", _crc32c(blank))


def test_ipv4_and_ipv6() -> None:
    """Addresses and ports of both ends, in network byte order."""
    assert ProxyHeader.parse(header(V4)) == ProxyHeader(
        local=False, source="192.0.2.1", source_port=4711, destination="198.51.100.2", destination_port=443
    )
    read = ProxyHeader.parse(header(V6, family=0x21))
    assert (read.source, read.source_port, read.destination) == ("2001:db8::1", 4711, "2001:db8::2")
    assert ProxyHeader.parse(header(V4, family=0x12)).source == "192.0.2.1"


def test_ipv4_in_ipv6_is_ipv4() -> None:
    """One address has one form, so that an allow list cannot be passed by."""
    body = ip_address("::ffff:10.0.0.1").packed + ip_address("::1").packed + bytes(4)
    assert ProxyHeader.parse(header(body, family=0x21)).source == "10.0.0.1"


def test_local_states_no_address() -> None:
    """A probe of the proxy's own has no client: addresses and fields after it are passed over, whatever they are."""
    for body in (b"", V4, b"\xff" * 7):
        assert ProxyHeader.parse(header(body, command=0x20)) == ProxyHeader(local=True)
    assert ProxyHeader.parse(header(b"", command=0x20, family=0x99)).source is None


@pytest.mark.parametrize(("family", "body"), [(0x00, b""), (0x31, bytes(216)), (0x32, bytes(216))])
def test_families_without_an_ip_address(family: int, body: bytes) -> None:
    """Unspecified, and a Unix socket: the client's address is not known."""
    read = ProxyHeader.parse(header(body + tlv(0x02, b"a.test"), family=family))
    assert (read.source, read.source_port, read.local) == (None, None, False)
    assert read.tlvs == ((0x02, b"a.test"),)


def test_tls_of_the_client() -> None:
    """What the proxy says of TLS, version and CN among it, as values that nobody believes."""
    fields = (tlv(0x21, b"TLSv1.3"), tlv(0x22, "Frodo \u00e9".encode()), tlv(0x23, b"TLS_AES_128_GCM_SHA256"))
    tls = ProxyHeader.parse(header(V4 + tlv(0x01, b"h2") + ssl(7, 0, *fields))).tls
    assert tls is not None
    assert (tls.tls, tls.certificate_on_connection, tls.certificate_in_session, tls.verify) == (True, True, True, 0)
    assert (tls.version, tls.common_name, tls.verified) == ("TLSv1.3", "Frodo \u00e9", True)
    assert tls.tlvs[2] == (0x23, b"TLS_AES_128_GCM_SHA256")
    bare = ProxyHeader.parse(header(V4 + ssl(1, 0))).tls
    assert bare == ProxyTLS(True, False, False, 0, None, None, ())  # noqa: FBT003 - as they stand there


@pytest.mark.parametrize(
    ("client", "verify", "verified"),
    [(7, 0, True), (5, 0, True), (1, 0, False), (0, 0, False), (6, 0, False), (7, 10, False)],
)
def test_verify_zero_without_a_certificate(client: int, verify: int, *, verified: bool) -> None:
    """0 is also what the proxy writes where nothing was presented: that is no verified certificate."""
    tls = ProxyHeader.parse(header(V4 + ssl(client, verify))).tls
    assert tls is not None
    assert tls.verified is verified


def test_version_1_is_refused_by_name() -> None:
    """The older version is a line of text; the remedy is named."""
    assert "send-proxy-v2" in refused(b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SIGNATURE,
        header(V4)[:15],
        header(V4)[:-1],
        header(V4) + b"G",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01" + bytes(20),
        SIGNATURE[:-1] + b"\x0b" + header(V4)[12:],
    ],
)
def test_cut_short_or_followed_by_something(data: bytes) -> None:
    """Less than a header, more than one, or something else."""
    refused(data)


@pytest.mark.parametrize("command", [0x11, 0x01, 0x22, 0x2F, 0x31, 0x00])
def test_other_versions_and_commands(command: int) -> None:
    """What is not defined is refused and not passed over (section 2.2 of the specification)."""
    assert "command" in refused(header(V4, command=command))


@pytest.mark.parametrize("family", [0x01, 0x10, 0x13, 0x41, 0xFF, 0x20])
def test_other_families(family: int) -> None:
    """An address that is not understood is not skipped by guessing its length."""
    assert "family" in refused(header(V4, family=family))


@pytest.mark.parametrize(("family", "body"), [(0x11, V4[:-1]), (0x21, V4), (0x31, bytes(215))])
def test_too_short_for_the_addresses(family: int, body: bytes) -> None:
    """The addresses of a family have their length."""
    assert "too short" in refused(header(body, family=family))


@pytest.mark.parametrize("rest", [b"\x04", b"\x04\x00", b"\x04\x00\x01", tlv(0x05, b"id")[:-1], b"\x20\xff\xff"])
def test_fields_cut_short(rest: bytes) -> None:
    """A field fits into what holds it, to the byte."""
    assert "field" in refused(header(V4 + rest))


@pytest.mark.parametrize("value", [b"", b"\x07\x00\x00\x00", b"\x07\x00\x00\x00\x00\x22\x00\x05ab"])
def test_tls_field_cut_short(value: bytes) -> None:
    """The same within the field about TLS."""
    assert "field" in refused(header(V4 + tlv(0x20, value)))


@pytest.mark.parametrize(
    "rest",
    [
        ssl(7, 0) * 2,
        ssl(7, 10) + ssl(7, 0),
        tlv(0x02, b"a") * 2,
        ssl(7, 0, tlv(0x22, b"frodo"), tlv(0x22, b"sam")),
        tlv(3, bytes(4)) * 2,
    ],
)
def test_second_verdict_or_second_name(rest: bytes) -> None:
    """Of two, one reader believes the first and another the last."""
    assert "twice" in refused(header(V4 + rest))


def test_padding_and_unknown_fields() -> None:
    """Padding is passed over, what is not known is kept, several of a kind as well."""
    read = ProxyHeader.parse(header(V4 + tlv(4, b"xx") + tlv(0xEA, b"1") + tlv(0xEA, b"2") + tlv(4, b"")))
    assert read.tlvs == ((0xEA, b"1"), (0xEA, b"2"))


def test_name_that_is_not_utf_8() -> None:
    """A text is UTF-8 or malformed."""
    assert "UTF-8" in refused(header(V4 + ssl(7, 0, tlv(0x22, b"\xff"))))


def test_checksum() -> None:
    """RFC 3720, B.4: the known values; then a header with its own checksum, wherever it stands, and without it."""
    assert _crc32c(b"123456789") == 0xE3069283
    assert _crc32c(bytes(32)) == 0x8A9136AA
    data = checksummed(V4 + tlv(0x02, b"a.test"))
    assert ProxyHeader.parse(data).source == "192.0.2.1"
    first = header(V4 + tlv(0x03, bytes(4)) + ssl(7, 0))
    at = 16 + len(V4) + 3
    assert ProxyHeader.parse(first[:at] + struct.pack("!I", _crc32c(first)) + first[at + 4 :]).tls is not None


@pytest.mark.parametrize("at", [16, 19, 24, 30, -1])
def test_checksum_that_is_not_its_own(at: int) -> None:
    """One bit in addresses, ports, fields or checksum, or a checksum of another size: refused."""
    data = bytearray(checksummed(V4 + tlv(0x02, b"a.test")))
    data[at] ^= 1
    with pytest.raises(MalformedEvidence):
        ProxyHeader.parse(bytes(data))
    assert "checksum" in refused(header(V4 + tlv(0x03, b"")))
    assert "checksum" in refused(header(V4 + tlv(0x03, bytes(8))))


def test_long_header() -> None:
    """A length is believed up to a bound, before anything more is read."""
    long = header(V4 + tlv(0xEA, bytes(5000)))
    for read in (ProxyHeader.parse, lambda data: ProxyHeader.length_of(data[:16])):
        with pytest.raises(MalformedEvidence) as caught:
            read(long)
        assert (caught.value.code, caught.value.http_status) == ("forwarded.too-large", 431)
    assert ProxyHeader.parse(long, most=6000).source == "192.0.2.1"
    assert ProxyHeader.length_of(header(V4)[:16]) == len(header(V4))


def test_address_for_the_policy() -> None:
    """The address reaches ``policies.ClientAddress`` through the connection, and PeerAddress stays the socket's."""
    connection = Connection(transport_address="10.0.0.1", client_address=ProxyHeader.parse(header(V4)).source)
    chain = PresentedChain((FRODO.der, ISSUING.der), Possession.TLS)
    trust = TrustStore(anchors=[ROOT.certificate])
    allowed = policies.CommonName("frodo") & policies.ClientAddress("192.0.2.0/24") & policies.PeerAddress("10.0.0.1")
    peer = Verifier.for_clients(trust=trust, policy=allowed).verify(chain, connection=connection)
    assert peer.connection.client_address == "192.0.2.1"
    elsewhere = Verifier.for_clients(
        trust=trust, policy=policies.CommonName("frodo") & policies.ClientAddress("10.0.0.1")
    )
    with pytest.raises(PolicyDenied):
        elsewhere.verify(chain, connection=connection)


bodies = st.binary(max_size=80) | st.binary(max_size=60).map(lambda rest: V4 + rest)
fields = st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 5, 0x20, 0x30, 0xEA]), st.binary(max_size=30)), max_size=4)


@given(
    st.binary(max_size=80)
    | st.builds(header, bodies, command=st.sampled_from([0x20, 0x21]), family=st.sampled_from([0, 0x11, 0x21, 0x31]))
    | fields.map(lambda found: header(V4 + b"".join(tlv(*one) for one in found)))
    | st.tuples(st.binary(max_size=5), fields).map(
        lambda one: header(V4 + tlv(0x20, one[0].ljust(5) + b"".join(tlv(*field) for field in one[1])))
    )
)
def test_any_bytes_give_a_header_or_our_error(data: bytes) -> None:
    """Any bytes give a header whose address is one, or our error."""
    try:
        read = ProxyHeader.parse(data)
    except MalformedEvidence as error:
        assert error.code in {"forwarded.malformed", "forwarded.too-large"}  # noqa: PT017 - or a value, as well
    else:
        assert read.source is None or str(ip_address(read.source)) == read.source
