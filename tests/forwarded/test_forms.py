"""The readers of each form: what the proxy writes and nothing near it, whole from end to end."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded._forms import Form, read_form, usable_form
from tests.forwarded.certificate_forms import FORMS, pem_safe, pem_spaces
from tests.forwarded.writing import FRODO, ISSUING, ROOT, escaped, pem

NAMES: list[Form] = ["der-base64", "der-base64-list", "pem-base64", "pem-percent", "pem-spaces", "rfc9440"]


def code_of(form: Form, text: str, *, joined: bool = False) -> str:
    """Return the code with which *text* is refused."""
    with pytest.raises(MalformedEvidence) as caught:
        read_form(form, text, joined=joined)
    return caught.value.code


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("ders", [(FRODO.der,), (FRODO.der, ISSUING.der, ROOT.der)], ids=["one", "three"])
def test_what_is_written_is_read(form: Form, ders: tuple[bytes, ...]) -> None:
    """Reading is the inverse of writing, in order."""
    assert read_form(form, FORMS[form](*ders), joined=False) == ders


@pytest.mark.parametrize("form", ["der-base64-list", "rfc9440"])
def test_attack_joined_list(form: Form) -> None:
    """Where a comma may be the work of somebody who joined two copies, a list of two is refused and one is read."""
    assert code_of(form, FORMS[form](FRODO.der, ISSUING.der), joined=True) == "forwarded.duplicate"
    assert read_form(form, FORMS[form](FRODO.der), joined=True) == (FRODO.der,)


def test_attack_plus_decoded_as_a_space() -> None:
    """A certificate with a plus sign survives both spellings of it, and a plus is never a space."""
    assert "+" in pem(FRODO.der, ISSUING.der, ROOT.der)
    ders = (FRODO.der, ISSUING.der, ROOT.der)
    assert read_form("pem-percent", pem_safe(*ders), joined=False) == ders
    assert read_form("pem-percent", escaped(*ders), joined=False) == ders
    assert code_of("pem-percent", escaped(*ders).replace("%20", "+")) == "forwarded.malformed"
    assert code_of("pem-percent", pem_safe(*ders).replace("+", "%20")) == "forwarded.malformed"


@pytest.mark.parametrize("space", [" ", "\t"])
def test_percent_encoding_leaves_no_white_space(space: str) -> None:
    """Raw white space means that somebody did not encode, or that a line was folded."""
    assert code_of("pem-percent", escaped(FRODO.der).replace("%0A", space)) == "forwarded.malformed"
    assert code_of("pem-percent", escaped(FRODO.der).replace("%20", space)) == "forwarded.malformed"


@pytest.mark.parametrize(
    "text",
    [
        f"junk {pem_spaces(FRODO.der)}",
        f"{pem_spaces(FRODO.der)} junk",
        f"{pem_spaces(FRODO.der)}  {pem_spaces(ISSUING.der)}",
        f"{pem_spaces(FRODO.der)}{pem_spaces(ISSUING.der)}",
        f"{pem_spaces(FRODO.der)} ,{pem_spaces(ISSUING.der)}",
        pem_spaces(FRODO.der).replace(" ", "\t"),
        pem_spaces(FRODO.der).replace(" ", "  "),
        pem_spaces(FRODO.der).replace("CERTIFICATE", "X509 CERTIFICATE"),
        pem_spaces(FRODO.der).replace("-----END CERTIFICATE-----", ""),
        "-----BEGIN CERTIFICATE----- -----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE----- = -----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY----- AAAA -----END PRIVATE KEY-----",
    ],
)
def test_pem_with_spaces_is_read_by_the_letter(text: str) -> None:
    """One space for each line end and nothing around, between or in place of the blocks."""
    assert code_of("pem-spaces", text) == "forwarded.malformed"


@pytest.mark.parametrize("text", ["", "AAAA", "====", "MA==", "MAA", "MAB=", "MAA=AAAA", "MAA=,", "_-8="])
@pytest.mark.parametrize("form", ["der-base64", "pem-base64"])
def test_base64_is_canonical_and_of_der(form: Form, text: str) -> None:
    """No second spelling of a value, no URL alphabet, nothing after the padding, and DER within."""
    assert code_of(form, text) == "forwarded.malformed"


def test_attack_quotes_around_a_value() -> None:
    """HAProxy's ``%{+Q}[...]`` puts the value between quotes, which no reader takes away."""
    assert code_of("der-base64", f'"{FORMS["der-base64"](FRODO.der)}"') == "forwarded.malformed"


def test_concatenated_der_has_no_rest() -> None:
    """What follows the last certificate makes all malformed."""
    assert code_of("der-base64", base64.b64encode(FRODO.der + b"\x30").decode()) == "forwarded.malformed"
    assert code_of("der-base64", base64.b64encode(FRODO.der + b"\x02\x01\x01").decode()) == "forwarded.malformed"


LONG: list[tuple[Form, str]] = [
    ("rfc9440", ":" + " " * 90_000),
    ("rfc9440", " ," * 45_000),
    ("rfc9440", ("\t" * 300 + ",") * 300),
    ("pem-spaces", "-----BEGIN CERTIFICATE-----" + " a" * 45_000),
    ("pem-spaces", "-----BEGIN CERTIFICATE----- " + "a" * 90_000),
    ("pem-percent", "-----BEGIN%20" * 7_000),
    ("pem-percent", "-----BEGIN%20A-----" + "x" * 90_000),
    ("pem-percent", "-----BEGIN%20CERTIFICATE-----" + "%0A" * 30_000 + "-----END%20CERTIFICATE-----"),
    ("der-base64", "A" * 90_000),
    ("der-base64-list", "," * 90_000),
]


@pytest.mark.parametrize(("form", "text"), LONG, ids=[f"{form}-{number}" for number, (form, _) in enumerate(LONG)])
def test_attack_long_values_that_take_a_reader_back_and_forth(form: Form, text: str) -> None:
    """The longest value that a source reads is refused in one pass: a reader that goes back takes many seconds here."""
    assert code_of(form, text) == "forwarded.malformed"


def test_forms_by_name() -> None:
    """A form that there is not is refused at construction, by its argument's name and with those that there are."""
    for name in NAMES:
        usable_form(name)
    with pytest.raises(ConfigurationError, match=r"encoding='pem': one of 'der-base64', 'der-base64-list'"):
        usable_form("pem")
    with pytest.raises(ConfigurationError, match=r"what='rfc9440': one of 'a', 'b'"):
        usable_form("rfc9440", ("a", "b"), "what")


@given(form=st.sampled_from(NAMES), text=st.text(alphabet=st.characters(codec="ascii"), min_size=1, max_size=80))
def test_property_any_text_gives_certificates_or_our_error(form: Form, text: str) -> None:
    """A reader returns one DER at least or raises our error."""
    found: tuple[bytes, ...] = (b"refused",)
    with suppress(MalformedEvidence):
        found = read_form(form, text, joined=False)
    assert found
    assert all(found)
