"""A dialect of one's own: stated header names, one stated encoding, and words of which all but the good ones refuse."""

from __future__ import annotations

from typing import Any

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, VerificationError
from tests.forwarded.certificate_forms import FORMS
from tests.forwarded.writing import FRODO, ISSUING, PROXY, TRUSTED, escaped


def source(**more: Any) -> forwarded.ForwardedSource:
    """Return a source with percent-encoded PEM and a verdict."""
    return forwarded.custom("X-Cert", encoding="pem-percent", verdict_header="x-verdict", trusted=TRUSTED, **more)


@pytest.mark.parametrize("word", ["FAILED", "success", "SUCCESS ,", "unknown", "0", "SUCCESS,SUCCESS"])
def test_every_other_word_is_a_failure(word: str) -> None:
    """What is not listed as good refuses the certificate: a list of bad words would never be complete."""
    with pytest.raises(VerificationError) as caught:
        source().read([("x-cert", escaped(FRODO.der)), ("x-verdict", word)], peer=PROXY)
    assert caught.value.code == "forwarded.not-verified"


@pytest.mark.parametrize("word", ["", "NONE", "(null)"])
def test_words_of_absence(word: str) -> None:
    """The usual words for no certificate mean it, and contradict one that is there."""
    assert source().read([("x-verdict", word)], peer=PROXY) is None
    with pytest.raises(MalformedEvidence) as caught:
        source().read([("x-cert", escaped(FRODO.der)), ("x-verdict", word)], peer=PROXY)
    assert caught.value.code == "forwarded.companion"


def test_a_word_of_absence_may_be_declared_good() -> None:
    """What the caller lists has the meaning that he gives it."""
    chain = source(verdict_ok=["NONE"]).read([("x-cert", escaped(FRODO.der)), ("x-verdict", "NONE")], peer=PROXY)
    assert chain is not None
    assert chain.ders == (FRODO.der,)


@pytest.mark.parametrize("form", FORMS)
def test_a_chain_in_its_own_header(form: str) -> None:
    """Then the first header has one certificate, and the other the rest in the same encoding."""
    encoding: Any = form
    made = forwarded.custom("x-cert", encoding=encoding, chain_header="x-chain", trusted=TRUSTED)
    write = FORMS[form]
    chain = made.read([("x-cert", write(FRODO.der)), ("x-chain", write(ISSUING.der))], peer=PROXY)
    assert chain is not None
    assert chain.ders == (FRODO.der, ISSUING.der)
    with pytest.raises(MalformedEvidence, match="2 certificates"):
        made.read([("x-cert", write(FRODO.der, ISSUING.der))], peer=PROXY)


@pytest.mark.parametrize("words", ["SUCCESS", (), [""], ["SUCCESS", ""], [1]])
def test_good_words_are_a_list_of_words(words: Any) -> None:
    """A text is no list of letters, the empty word says that there is nothing, and no word at all admits nobody."""
    with pytest.raises(ConfigurationError, match="verdict_ok"):
        source(verdict_ok=words)


def test_construction() -> None:
    """An encoding is named and not guessed; one header is one thing."""
    wrong: Any = "auto"
    with pytest.raises(ConfigurationError, match="encoding='auto'"):
        forwarded.custom("x-cert", encoding=wrong, trusted=TRUSTED)
    with pytest.raises(ConfigurationError, match="two things"):
        forwarded.custom("x-cert", encoding="der-base64", chain_header="X-Cert", trusted=TRUSTED)
    with pytest.raises(ConfigurationError):
        forwarded.custom("x_cert", encoding="der-base64", trusted=TRUSTED)
