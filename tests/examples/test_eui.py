"""The reader of EUIs of ``examples/lorawan``: every form means 64 bits, and what is no form means nobody."""

from __future__ import annotations

import importlib.util
import string
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples.lorawan import EXAMPLE


def _loaded() -> Any:
    spec = importlib.util.spec_from_file_location("example_lorawan_eui", EXAMPLE / "eui.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


EUI = _loaded().EUI
BITS = st.one_of(
    st.integers(0, 2**64 - 1),
    # groups of zeros are rare among all numbers, and what ID6 is about
    st.lists(st.sampled_from([0, 0, 1, 0xA, 0x1000, 0xFFFF]), min_size=4, max_size=4).map(
        lambda groups: sum(group << 16 * place for place, group in enumerate(groups))
    ),
)


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("1111:1111:1111:1111", 0x1111_1111_1111_1111),
        ("1111111111111111", 0x1111_1111_1111_1111),
        ("11-11-11-11-11-11-11-11", 0x1111_1111_1111_1111),
        ("11:11:11:11:11:11:11:11", 0x1111_1111_1111_1111),
        ("58A0CBFFFE802B7C", 0x58A0_CBFF_FE80_2B7C),
        ("58a0:cbff:fe80:2b7c", 0x58A0_CBFF_FE80_2B7C),
        ("::0", 0),
        ("::", 0),
        ("1::", 0x0001_0000_0000_0000),
        ("::a:b", 0x0000_0000_000A_000B),
        ("f::1", 0x000F_0000_0000_0001),
        ("1:2::", 0x0001_0002_0000_0000),
        ("1:2::3", 0x0001_0002_0000_0003),
        ("f:a123:f8:100", 0x000F_A123_00F8_0100),
        ("0:0:0:1", 1),
        ("router-::1", 1),
        ("muxs-f:a123:f8:100", 0x000F_A123_00F8_0100),
    ],
)
def test_each_form_means_its_bits(text: str, bits: int) -> None:
    """ID6 as a Station writes it, sixteen digits, and octets with dashes or colons are read to the same 64 bits."""
    assert EUI.parse(text).value == bits
    assert EUI.parse(text.upper() if "-" not in text else text).value == bits


@pytest.mark.parametrize(
    ("bits", "id6"),
    [
        (0, "::0"),
        (1, "::1"),
        (1 << 48, "1::"),
        (0x000F_0000_0000_0001, "f::1"),
        (0x000F_A123_00F8_0100, "f:a123:f8:100"),
        (0x0001_0000_0002_0003, "1:0:2:3"),
        (0x1111_1111_1111_1111, "1111:1111:1111:1111"),
    ],
)
def test_id6_is_written_as_a_station_writes_it(bits: int, id6: str) -> None:
    """Groups lose their leading zeros, two and more groups of zeros become ``::``, and all zeros are ``::0``."""
    assert EUI(bits).id6 == id6


@given(BITS)
def test_reading_is_the_inverse_of_writing(bits: int) -> None:
    """Whatever the 64 bits are, each form of them is read to the same again."""
    eui = EUI(bits)
    octets = bits.to_bytes(8)
    for text in (eui.id6, f"router-{eui.id6}", str(eui), str(eui).upper(), octets.hex("-"), octets.hex(":")):
        assert EUI.parse(text) == eui


@given(BITS, BITS)
def test_two_gateways_are_never_written_alike(one: int, other: int) -> None:
    """Different bits have different texts: nobody can be taken for another by how he is written."""
    assert (EUI(one).id6 == EUI(other).id6) == (one == other) == (str(EUI(one)) == str(EUI(other)))


@given(st.text(string.hexdigits + ":-: gx_+\u0663", max_size=24) | st.text() | st.binary() | st.integers() | st.none())
def test_junk_is_a_value_error_and_nothing_else(junk: object) -> None:
    """Whatever is given is read to 64 bits that are written and read again, or refused as a value."""
    try:
        eui = EUI.parse(junk)
    except ValueError:
        return
    assert 0 <= eui.value < 2**64
    assert EUI.parse(eui.id6) == eui


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":::", "::::", "1", "1:2", "1:2:3", "1:2:3:", ":1:2:3", "1:2:3:4:5", "1::2::3", "1:2::3:4", "1:::0"),
        *("11111:1:1:1", "111111111111111", "11111111111111111", "11-11-11-11-11-11-11", "11-11:11-11:11-11:11-11"),
        *("11:11:11:11:11:11:11:11:11", "1-1-1-1-1-1-1-1", "1111-1111-1111-1111", "0x1111111111111111"),
        *("1111111111111111\n", " 1111111111111111", "1111:1111:1111:1111\0", "+111:1111:1111:1111", "1_1:1:1:1"),
        *("\u0661:1:1:1", "\uff11" * 16, "g::1", "-::1", "router-", "router:1:2:3:4", "1-::1", "router--::1"),
        *("router-1111111111111111", "a-b-::1", "ROUTER-::1", "fe80::1%eth0", "::1/64", "::" + "0" * 100),
        *(1, 1.5, True, None, b"::1", ["::1"], {"router": "::1"}),
    ],
)
def test_what_is_almost_an_eui_is_refused(text: object) -> None:
    """No guess: what is too short or long, has other digits or separators, or is no text, names nobody."""
    with pytest.raises(ValueError, match="no EUI"):
        EUI.parse(text)
