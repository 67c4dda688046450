"""Properties of every dialect in which the certificate has a header of its own: total, and never another identity."""

from __future__ import annotations

import string
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlspolicy import Possession
from mtlspolicy.errors import MalformedEvidence, VerificationError
from mtlspolicy.forwarded import Dialect, JoinedHeaders
from tests.forwarded.certificate_forms import FORMS
from tests.forwarded.dialects import BY_NAME, EVERY, KNOWING, Row
from tests.forwarded.writing import FRODO, ISSUING, PROXY, SAM

SOURCES = {name: row.source() for name, row in BY_NAME.items()}
LEAVES = (FRODO.der, ISSUING.der)
WORDS = ("(null)", "NONE", "SUCCESS", "FAILED:x", "0", "18", "true", "false", ",", ":", "-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize("row", [BY_NAME[name] for name in EVERY], ids=EVERY)
def test_a_dialect_is_a_hashable_value_of_the_protocol(row: Row) -> None:
    """Two sources built alike have equal dialects; each has a name and reads its leaf header."""
    dialect: Dialect = SOURCES[row.name].dialect
    again: Dialect = row.source().dialect
    assert (dialect, hash(dialect)) == (again, hash(again))
    assert dialect.name.replace("_", "")
    assert row.leaf in dialect.names
    assert dialect.lists == frozenset()


TEXT = st.text(alphabet=string.printable + "\x00\x7fé\u2028", max_size=120)
PIECES = st.lists(
    st.sampled_from([*WORDS, *(write(der) for write in FORMS.values() for der in LEAVES), "%0A", ",", " ", ";"]),
    max_size=4,
).map("".join)


@settings(max_examples=300)
@given(name=st.sampled_from(EVERY), data=st.data())
def test_property_any_text_gives_a_value_or_our_error(name: str, data: st.DataObject) -> None:
    """Whatever stands in the headers of a dialect, a chain, ``None`` or one of our errors comes of it."""
    row, source = BY_NAME[name], SOURCES[name]
    names = sorted(source.dialect.names)
    fields = [(key, data.draw(TEXT | PIECES)) for key in names if data.draw(st.booleans())]
    headers = row.sent(*fields)
    given_headers = JoinedHeaders(dict(headers)) if data.draw(st.booleans()) else headers
    chain = None
    with suppress(MalformedEvidence, VerificationError):
        chain = source.read(given_headers, peer=PROXY)
    assert chain is None or (chain.possession is Possession.PROXY and chain.ders)


@settings(max_examples=500)
@given(name=st.sampled_from(EVERY), data=st.data())
def test_property_a_mutated_header_never_gives_another_identity(name: str, data: st.DataObject) -> None:
    """One character changed, added or lost in the header for frodo, and sam in its chain: nobody but frodo verifies."""
    row = BY_NAME[name]
    headers = row.headers(FRODO.der, SAM.der)
    place = data.draw(st.integers(1, len(headers) - 1))
    key, value = headers[place]
    at = data.draw(st.integers(0, max(len(value) - 1, 0)))
    char = data.draw(st.sampled_from(["", *string.ascii_letters, *string.digits, *"+/=%,:;- \t\"'"]))
    width = data.draw(st.integers(0, 1))
    headers[place] = (key, value[:at] + char + value[at + width :])
    try:
        chain = SOURCES[name].read(headers, peer=PROXY)
    except (MalformedEvidence, VerificationError):
        return
    if chain is not None and KNOWING.decide(chain):
        assert KNOWING.verify(chain).common_name == "frodo"
        assert chain.ders[0] == FRODO.der
