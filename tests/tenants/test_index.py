"""The index of tenants: three formats that say the same, and everything in them that is refused."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tenants._index import MOST_FILES, MOST_INDEX, MOST_TENANTS, index_of, read_index
from mtlspolicy.tenants._reader import Unreadable

SAME = {
    "index.json": b'{"common": ["common.pem"], "tenants": {"test": ["test.pem"], "none": [],"no": ["a.pem", "B.pem"]}}',
    "index.toml": b'common = ["common.pem"]\n[tenants]\ntest = ["test.pem"]\nnone = []\nno = ["a.pem", "B.pem"]\n',
    "index.yml": b"common: [common.pem]\ntenants:\n  test:\n    - test.pem\n  none: []\n  no: ['a.pem', \"B.pem\"]\n",
}


@pytest.mark.parametrize("name", SAME)
def test_three_formats_say_the_same(name: str) -> None:
    """The layout of The Things Stack, in the format that the name ends in; YAML keeps ``no`` as it is written."""
    index = read_index(SAME[name], name)
    assert index.common == ("common.pem",)
    assert index.tenants == {"test": ("test.pem",), "none": (), "no": ("a.pem", "B.pem")}
    assert index.faults == {}


@pytest.mark.parametrize(("name", "text"), [("a.json", "{}"), ("a.toml", "# none"), ("a.yml", "{}"), ("a.yaml", "{}")])
def test_an_empty_index_is_legal(name: str, text: str) -> None:
    """It lists nobody; everyone is refused."""
    assert read_index(text.encode(), name) == ((), {}, {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("index.json", '{"tenants": {"a": ["strict.pem"], "a": ["lax.pem"]}}'),
        ("index.json", '{"tenants": {"a": []}, "tenants": {"a": ["lax.pem"]}}'),
        ("index.json", '{"tenants": {"a": [], "\\u0061": ["lax.pem"]}}'),
        ("index.toml", '[tenants]\na = ["strict.pem"]\na = ["lax.pem"]'),
        ("index.toml", '[tenants]\na = ["strict.pem"]\n"a" = ["lax.pem"]'),
        ("index.toml", "[tenants]\n[tenants]\n"),
        ("index.yml", "tenants: {a: [strict.pem], a: [lax.pem]}"),
        ("index.yml", 'tenants: {a: [strict.pem], "a": [lax.pem]}'),
        ("index.yml", "tenants: {}\ntenants: {a: [lax.pem]}"),
    ],
)
def test_a_duplicate_key_refuses_the_index(name: str, text: str) -> None:
    """Which of two lists counts is nobody's guess: not the last one, as parsers have it."""
    with pytest.raises(ConfigurationError, match=r"twice|overwrite|Cannot declare"):
        read_index(text.encode(), name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tenants: {a: &x [a.pem], b: *x}", "anchors, aliases and tags"),
        ("tenants: {a: [a.pem], b: *x}", "anchors, aliases and tags|undefined alias"),
        ("tenants: {*x : [a.pem]}", "anchors, aliases and tags|undefined alias"),
        ("tenants: {&x a: [a.pem]}", "anchors, aliases and tags"),
        ("tenants: {a: [!!python/object/apply:os.system ['true']]}", "anchors, aliases and tags"),
        ("tenants: !!python/name:os.system {}", "anchors, aliases and tags"),
        ("tenants: {a: [!!binary YQ==]}", "anchors, aliases and tags"),
        ("!!set {common}", "anchors, aliases and tags"),
        ("tenants: {<<: {a: [a.pem]}}", "nested too deeply"),
        ("tenants: {<<: [a.pem]}", "'<<' is no name of a tenant"),
        ("{}\n---\n{}", "2 documents where one belongs"),
        ("# nothing", "0 documents where one belongs"),
        ("[[[[[a]]]]]", "nested too deeply"),
        ("? [a]\n: b", "a key is a list or a table"),
        ("? {a: b}\n: b", "a key is a list or a table"),
        ("? \n: [a]", "a key is empty"),
        ("tenants:\n\ta: []", "cannot start any token"),
        ("tenants: {a: ", "index of tenants"),
        ("tenants: {a: [\x00]}", "index of tenants"),
        ("tenants:", "'tenants' is NoneType"),
        ("tenants: {a: }", "tenant 'a' is NoneType, not a list of file names; no file is \\[\\]"),
    ],
)
def test_yaml_anchors_tags_and_other_surprises_are_refused(text: str, says: str) -> None:
    """Only tables, lists and text: nothing is constructed, nothing refers to anything, and one document is one."""
    with pytest.raises(ConfigurationError, match=says):
        read_index(text.encode(), "index.yml")


def test_a_billion_laughs_index_is_refused_at_the_first_laugh() -> None:
    """Aliases of aliases never grow: the first anchor is an error, whatever comes after it."""
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
    )
    with pytest.raises(ConfigurationError, match="line 1: anchors, aliases and tags have no place in an index"):
        read_index(bomb.encode(), "index.yml")


@pytest.mark.parametrize(("name", "opening"), [("index.json", "["), ("index.toml", "common = " + "["), ("i.yml", "[")])
def test_an_index_nested_without_end_is_refused(name: str, opening: str) -> None:
    """Depth is an error of ours and not a crash."""
    deep = opening + "[" * 200_000
    with pytest.raises(ConfigurationError, match="nested too deeply|index of tenants"):
        read_index(deep.encode(), name)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "the index is list, not a table of names"),
        ({1: []}, "the index has a key that is int"),
        ({"tennants": {}}, "unknown key 'tennants'; there are 'common' and 'tenants'"),
        ({"common": "common.pem"}, "common is str, not a list of file names"),
        ({"common": [1]}, "common lists int, not a file name"),
        ({"common": ["../ca.pem"]}, "common: '../ca.pem' is no plain file name"),
        ({"common": ["a.pem", "A.pem"]}, "common: 'a.pem' is there again as 'A.pem'"),
        ({"common": ["a"] * (MOST_FILES + 1)}, f"common has {MOST_FILES + 1} files; at most {MOST_FILES}"),
        ({"tenants": []}, "'tenants' is list"),
        ({"tenants": {"a": "a.pem"}}, "tenant 'a' is str"),
        ({"tenants": {"a": [["a.pem"]]}}, "tenant 'a' lists list"),
        ({"tenants": {"a": {"b": ["a.pem"]}}}, "tenant 'a' is dict"),
        ({"tenants": {"": []}}, "'' is no name of a tenant"),
        ({"tenants": {"../b": []}}, "'../b' is no name of a tenant"),
        ({"tenants": {"Test": []}}, "'Test' is no name of a tenant"),
        ({"tenants": {"a" * 64: []}}, "is no name of a tenant"),
        ({"tenants": {".hidden": []}}, "is no name of a tenant"),
        ({"tenants": {"a\n": []}}, "is no name of a tenant"),
        ({"tenants": {"\u0661": []}}, "is no name of a tenant"),
    ],
)
def test_what_an_index_cannot_say_is_refused(value: Any, says: str) -> None:
    """Unknown keys, wrong types and names that are none refuse the index as a whole, and are named."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        index_of(value, "index.json")
    assert caught.value.code == "tenant.index"


def test_a_tenant_named_common_is_refused() -> None:
    """The name is that of what all tenants share."""
    with pytest.raises(ConfigurationError, match="the name 'common' is reserved"):
        index_of({"tenants": {"common": ["ca.pem"]}}, "index.json")


@pytest.mark.parametrize(
    ("one", "other"),
    [("test", "Test"), ("caf\u00e9", "cafe\u0301"), ("stra\u00dfe", "strasse"), ("k", "\u212a"), ("\ufb00", "ff")],
)
def test_names_that_differ_by_case_or_normal_form_refuse_the_index(one: str, other: str) -> None:
    """On a disk that folds case or normal form they are one directory."""
    with pytest.raises(ConfigurationError, match="differ by case or normal form alone"):
        index_of({"tenants": {one: [], other: ["ca.pem"]}}, "index.json")


@pytest.mark.parametrize(
    "entry",
    [
        *("../../etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem", "..", ".", "", "a/b.pem", "..\\b\\ca.pem"),
        *("C:\\ca.pem", "ca.pem:stream", ".ca.pem.swp", " ca.pem", "ca.pem ", "ca\0.pem", "ca\n.pem", "\u202eca.pem"),
        *("*.pem", "a" * 256, "\u00e9" * 128, "\ud800"),
    ],
)
def test_an_entry_that_is_a_path_breaks_its_tenant_alone(entry: str) -> None:
    """Entries name files in the tenant's own directory; one that does not is no reason to refuse the others."""
    index = index_of({"tenants": {"evil": ["ca.pem", entry], "good": ["ca.pem"]}}, "index.json")
    assert list(index.faults) == ["evil"]
    assert "is no plain file name" in index.faults["evil"]


def test_an_entry_that_is_there_twice_breaks_its_tenant_alone() -> None:
    """The same name, or one in two normal forms, is a mistake of the tenant's."""
    listed = {"one": ["\u00e9.pem", "e\u0301.pem"], "two": ["ca.pem", "ca.pem"], "good": ["ca.pem"]}
    index = index_of({"tenants": listed}, "index.json")
    assert set(index.faults) == {"one", "two"}
    assert "is there again as" in index.faults["two"]


def test_an_entry_may_be_any_plain_name() -> None:
    """Upper case, spaces inside and letters of other scripts are plain."""
    names = ["CA 1.pem", "\u00e9.crt", "a..b", "x" * 255]
    assert index_of({"tenants": {"a": names}}, "index.json").faults == {}


def test_too_many_tenants_are_refused() -> None:
    """An index is bounded in what it lists."""
    with pytest.raises(ConfigurationError, match=f"{MOST_TENANTS + 1} tenants; at most {MOST_TENANTS}"):
        index_of({"tenants": {f"t{number}": [] for number in range(MOST_TENANTS + 1)}}, "index.json")


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        (b"{}", "index.ini", "the name does not end in .json, .toml or .yml"),
        (b"{}", "json", "index of tenants 'json'|^$"),
        (b"\xff{}", "index.json", "codec can't decode"),
        (b"\xef\xbb\xbf{}", "index.json", "BOM"),
        (b"{", "index.json", "Expecting"),
        (b'{"common": [NaN]}', "index.json", "NaN is no JSON"),
        (b'{"common": [' + b"9" * 5000 + b"]}", "index.json", "limit|common lists int"),
        (b"a = ", "index.toml", "Invalid value"),
        (b" " * (MOST_INDEX + 1), "index.json", f"more than {MOST_INDEX} bytes"),
    ],
)
def test_what_is_no_index_is_refused(data: bytes, name: str, says: str) -> None:
    """Any bytes give an index or one of our errors."""
    if name == "json":
        assert read_index(data, name).tenants == {}
        return
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_index(data, name)
    assert caught.value.code == "tenant.index"


@given(st.binary(max_size=200) | st.text(alphabet='{}[]:,"&*!- \nabtens#=', max_size=80).map(str.encode))
@pytest.mark.parametrize("name", SAME)
def test_any_bytes_give_an_index_or_our_error(name: str, data: bytes) -> None:
    """Any bytes give a value or one of our errors, nothing else."""
    try:
        index = read_index(data, name)
    except ConfigurationError as error:
        assert error.code == "tenant.index"  # noqa: PT017 - that it is raised is one of two right answers
    else:
        assert all(json.dumps(tenant) for tenant in index.tenants)


def test_yaml_without_its_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """YAML is an extra; the other two formats need nothing."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(Unreadable, match=r"PyYAML: pip install 'mtlspolicy\[yaml\]', or write index.toml"):
        read_index(b"{}", "index.yml")
    assert read_index(b"{}", "index.json").tenants == {}
