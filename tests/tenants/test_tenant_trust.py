"""Whose clients each tenant admits, what refuses the others, and what is written down with every decision."""

from __future__ import annotations

import gc
import pickle
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mtlspolicy import Limits, PathProfile, TrustStore, Verifier, policies
from mtlspolicy._decision import Verdict
from mtlspolicy._trust import PUBLIC_SIZE
from mtlspolicy.errors import ConfigurationError, PathValidationError
from mtlspolicy.tenants import TenantTrust
from mtlspolicy.tenants import _tenant_trust as implementation
from mtlspolicy.testing import CertificateAuthority, broken, pooled_key
from tests.tenants.layout import BLUE, CHAINS, GARBAGE, GATEWAY, NEW, RED, SHARED, Layout, code, decided

STOPPED: Any = {"interval": None}


def test_each_tenant_admits_clients_of_its_own_ca(layout: Layout) -> None:
    """And nobody else's."""
    with TenantTrust.from_directory(layout.usual().root) as trust:
        assert code(trust, "red", RED) == "name.match"
        assert code(trust, "blue", BLUE) == "name.match"
        assert decided(trust, "red", NEW).code == "path.no-issuer"


def test_common_as_fallback_is_for_tenants_that_list_no_file(layout: Layout) -> None:
    """The tenant's own come first; the common anchors stand in where it has none, and are not joined to them."""
    trust = TenantTrust.from_directory(layout.usual().root, "fallback", **STOPPED)
    assert code(trust, "bare", SHARED) == "name.match"
    assert code(trust, "red", SHARED) == "path.no-issuer"


def test_common_always_is_for_every_tenant(layout: Layout) -> None:
    """The union, for those that are listed."""
    trust = TenantTrust.from_directory(layout.usual().root, common="always", **STOPPED)
    assert code(trust, "red", SHARED) == code(trust, "red", RED) == code(trust, "bare", SHARED) == "name.match"
    assert code(trust, "red", BLUE) == "tenant.foreign"


@pytest.mark.parametrize("mode", ["fallback", "always"])
@pytest.mark.parametrize(
    "name", ["none", "common", "", "Red", "red ", "../red", "red/../blue", "caf\u00e9", "x" * 9999]
)
def test_an_unknown_tenant_gets_no_common_anchors(layout: Layout, mode: Any, name: str) -> None:
    """'Has none' means listed with an empty list; a name is looked up and never made into a path."""
    trust = TenantTrust.from_directory(layout.usual().root, mode, **STOPPED)
    decision = decided(trust, name, SHARED)
    assert (decision.verdict, decision.code) == (Verdict.DENY, "tenant.unknown")
    assert len(decision.detail) < 300
    assert trust.verifier(name, policy=GATEWAY) is not trust.verifier(name, policy=GATEWAY)


def test_three_refusals_have_three_codes(layout: Layout) -> None:
    """Unknown tenant, a tenant without any anchor, another tenant's certificate; protocols are told the same of all."""
    layout.write("tenants/red/ca.pem", RED.pem)
    layout.write("tenants/blue/ca.pem", BLUE.pem)
    layout.index(red=["ca.pem"], blue=["ca.pem"], bare=[])
    trust = TenantTrust.from_directory(layout.root, **STOPPED)
    expected = {"none": "tenant.unknown", "bare": "tenant.no-anchor", "blue": "tenant.foreign"}
    answers = set()
    for tenant, wanted in expected.items():
        with pytest.raises(PathValidationError) as caught:
            trust.verifier(tenant, policy=GATEWAY).verify(CHAINS[RED])
        error = caught.value
        assert (error.code, error.decision.verdict) == (wanted, Verdict.DENY)
        answers.add((error.http_status, error.grpc_status, error.tls_alert, error.retryable))
    assert answers == {(403, "UNAUTHENTICATED", "unknown_ca", False)}


def test_an_empty_index_refuses_everyone(layout: Layout) -> None:
    """It is legal, and lists nobody."""
    layout.write("index.json", "{}")
    trust = TenantTrust.from_directory(layout.root, "always", **STOPPED)
    assert code(trust, "red", RED) == "tenant.unknown"
    assert trust.generation.tenants == frozenset()


def test_cross_tenant_certificates_are_refused_without_naming_the_other(layout: Layout) -> None:
    """A client of red at blue, also behind an intermediate: the code says what happened, the text not who it was."""
    layout.usual()
    issuing = RED.intermediate("red issuing")
    trust = TenantTrust.from_directory(layout.root, **STOPPED)
    for chain in (CHAINS[RED], issuing.issue_client("gateway").chain_pem, CHAINS[RED] + RED.pem):
        decision = trust.verifier("blue", policy=GATEWAY).decide(chain)
        assert decision.code == "tenant.foreign"
        assert "red" not in decision.detail
        assert trust.verifier("red", policy=GATEWAY).decide(chain).code == "name.match"


def test_who_only_writes_the_name_of_another_tenants_ca_learns_nothing(layout: Layout) -> None:
    """A forged issuer is answered as every stranger is: whether such a tenant is served here stays unknown."""
    forger = CertificateAuthority("red")
    assert forger.certificate.subject == RED.certificate.subject
    trust = TenantTrust.from_directory(layout.usual().root, **STOPPED)
    assert trust.verifier("blue", policy=GATEWAY).decide(forger.issue_client("gateway").chain_pem).code == (
        "path.no-issuer"
    )


def test_a_foreign_certificate_that_is_not_valid_there_is_a_strangers(layout: Layout) -> None:
    """Signed by the other tenant's CA, and expired or for servers: nobody's peer."""
    trust = TenantTrust.from_directory(layout.usual().root, **STOPPED)
    for leaf in (broken("expired", RED), RED.issue_server("gateway.test")):
        assert trust.verifier("blue", policy=GATEWAY).decide(leaf.chain_pem).code == "path.no-issuer"


def test_tenants_whose_cas_have_one_name_are_told_apart_by_key(layout: Layout) -> None:
    """Everybody calls his CA the same: the signature decides, and the refusal is still the foreign one."""
    cas = [CertificateAuthority("Device CA") for _ in range(7)]
    for number, ca in enumerate(cas):
        layout.write(f"tenants/t{number}/ca.pem", ca.pem)
    layout.index(**{f"t{number}": ["ca.pem"] for number in range(7)})
    trust = TenantTrust.from_directory(layout.root, **STOPPED)
    chain = cas[1].issue_client("gateway").chain_pem
    assert trust.verifier("t1", policy=GATEWAY).decide(chain).code == "name.match"
    assert trust.verifier("t0", policy=GATEWAY).decide(chain).code == "tenant.foreign"
    last = cas[6].issue_client("gateway").chain_pem
    assert trust.verifier("t0", policy=GATEWAY).decide(last).code == "path.signature", "only the first few are asked"


def test_refusals_of_other_kinds_stay_what_they_are(layout: Layout) -> None:
    """No certificate, a name that does not match, bytes that are none."""
    verifier = TenantTrust.from_directory(layout.usual().root, **STOPPED).verifier("red", policy=GATEWAY)
    assert verifier.judgement(None).outcome().decision.code == "path.no-certificate"
    assert verifier.decide(RED.issue_client("other").chain_pem).code == "name.mismatch"
    assert verifier.decide(b"none").code == "chain.malformed"
    assert verifier.decide(RED.issue_server("gateway").chain_pem).code == "path.extended-key-usage"
    spoiled = RED.issue_client("gateway").der[:-1] + b"\0"
    assert verifier.decide(spoiled).code in {"path.signature", "chain.malformed"}


def test_every_decision_records_its_generation(layout: Layout) -> None:
    """Admissions and refusals, those without any store too: number, time and digest, for people and for logs."""
    trust = TenantTrust.from_directory(layout.usual().root, **STOPPED)
    generation = trust.generation
    assert re.fullmatch(r"1 of 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ sha256/[0-9a-f]{64}", str(generation))
    assert generation.digest in str(generation)
    assert generation.taken.utcoffset() == timedelta(0)
    for tenant, ca in (("red", RED), ("red", BLUE), ("red", NEW), ("none", RED), ("bare", RED)):
        decision = decided(trust, tenant, ca)
        assert decision.context is not None
        assert decision.context.generation == str(generation)
        assert decision.as_dict()["generation"] == str(generation)
        assert f"trust: generation {generation}" in decision.explain()


def test_the_digest_says_whom_each_tenant_trusts(tmp_path: Path) -> None:
    """Equal for equal content, whatever the files are called; another mode or another CA is another one."""
    one, two, three = (Layout(tmp_path / name) for name in ("one", "two", "three"))
    one.usual()
    two.usual()
    two.write("tenants/red/renamed.crt", RED.pem)
    two.index(common=["common.pem"], bare=[], blue=["ca.pem"], red=["renamed.crt"])
    three.usual()
    three.write("tenants/red/ca.pem", NEW.pem)
    digests = [TenantTrust.from_directory(each.root, **STOPPED).generation.digest for each in (one, two, three)]
    assert digests[0] == digests[1] != digests[2]
    assert TenantTrust.from_directory(one.root, "always", **STOPPED).generation.digest != digests[0]


def test_a_tenant_may_list_several_files(layout: Layout) -> None:
    """Their stores are joined, intermediates included."""
    issuing = NEW.intermediate("new issuing")
    layout.write("tenants/red/ca.pem", RED.pem)
    layout.write("tenants/red/new.pem", NEW.pem + issuing.pem)
    layout.index(red=["ca.pem", "new.pem"])
    trust = TenantTrust.from_directory(layout.root, **STOPPED)
    leaf = issuing.issue_client("gateway")
    assert trust.verifier("red", policy=GATEWAY).decide(leaf.certificate_pem).code == "name.match"
    assert code(trust, "red", RED) == "name.match"


def test_several_common_files(layout: Layout) -> None:
    """The same for what all tenants share."""
    layout.write("common/a.pem", SHARED.pem)
    layout.write("common/b.pem", NEW.pem)
    layout.index(common=["a.pem", "b.pem"], bare=[])
    trust = TenantTrust.from_directory(layout.root, **STOPPED)
    assert code(trust, "bare", SHARED) == code(trust, "bare", NEW) == "name.match"


def test_issuing_cas_alone_are_anchors_when_it_is_said(layout: Layout) -> None:
    """A CA without its root breaks the tenant, unless every certificate is to be an anchor."""
    issuing = RED.intermediate("issuing")
    layout.write("tenants/red/ca.pem", issuing.pem)
    layout.index(red=["ca.pem"])
    chain = issuing.issue_client("gateway").certificate_pem
    strict = TenantTrust.from_directory(layout.root, **STOPPED)
    assert "say anchors='all'" in strict.generation.broken["red"]
    loose = TenantTrust.from_directory(layout.root, anchors="all", **STOPPED)
    assert loose.verifier("red", policy=GATEWAY).decide(chain).code == "name.match"


@pytest.mark.parametrize("content", [b"", b" \n", GARBAGE, b"-----BEGIN CERTIFICATE-----\nMII", b"\0" * 100])
def test_a_broken_tenant_does_not_keep_the_others_from_starting(layout: Layout, content: bytes) -> None:
    """It is refused with a code of its own, worth trying again later, and said to be broken."""
    layout.usual()
    layout.write("tenants/red/ca.pem", content)
    trust = TenantTrust.from_directory(layout.root, **STOPPED)
    decision = decided(trust, "red", RED)
    assert (decision.verdict, decision.code, decision.retryable) == (Verdict.INDETERMINATE, "tenant.broken", True)
    assert "'tenants/red/ca.pem'" in decision.detail
    assert list(trust.generation.broken) == ["red"]
    assert trust.generation.tenants == {"red", "blue", "bare"}
    assert code(trust, "blue", BLUE) == "name.match"


def test_a_tenants_file_is_not_led_out_of_its_directory(layout: Layout) -> None:
    """``../../etc/...``, absolute paths and links: the tenant is broken, whatever they lead to; nothing is read."""
    layout.usual()
    (layout.root / "tenants" / "link").mkdir()
    (layout.root / "tenants" / "link" / "ca.pem").symlink_to("../blue/ca.pem")
    (layout.root / "tenants" / "folder").symlink_to("blue")
    layout.index(
        dots=["../blue/ca.pem"], far=["../../../../etc/ssl/certs/ca-certificates.crt"], link=["ca.pem"],
        absolute=[str(layout.root / "tenants" / "blue" / "ca.pem")], folder=["ca.pem"], blue=["ca.pem"],
    )  # fmt: skip
    trust = TenantTrust.from_directory(layout.root, **STOPPED)
    assert set(trust.generation.broken) == {"dots", "far", "absolute", "link", "folder"}
    assert {code(trust, tenant, BLUE) for tenant in trust.generation.broken} == {"tenant.broken"}
    assert code(trust, "blue", BLUE) == "name.match"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda root: (root / "index.json").unlink(), r"is missing \(index.json, index.toml or index.yml\)"),
        (lambda root: (root / "index.json").write_bytes(b""), "is empty"),
        (lambda root: (root / "index.json").write_bytes(b"{"), "Expecting"),
        (lambda root: (root / "index.toml").write_bytes(b""), "are both there, and one is the index"),
        (lambda root: (root / "common" / "common.pem").unlink(), "'common/common.pem' is missing"),
        (lambda root: (root / "common" / "common.pem").write_bytes(b""), "'common/common.pem' is empty"),
        (
            lambda root: (root / "common" / "common.pem").write_bytes(GARBAGE),
            "'common/common.pem' holds something else",
        ),
    ],
)
def test_what_all_depend_on_has_to_be_readable_at_the_start(layout: Layout, damage: Any, says: str) -> None:
    """Index and common files are the operator's own: the error names the file."""
    damage(layout.usual().root)
    with pytest.raises(ConfigurationError, match=says) as caught:
        TenantTrust.from_directory(layout.root)
    assert caught.value.code == "tenant.index"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"common": "never"}, "common='never': write 'fallback' or 'always'"),
        ({"anchors": "some"}, "anchors='some'"),
        ({"interval": 0}, "interval=0: give a finite number"),
        ({"interval": float("inf")}, "interval=inf"),
        ({"interval": float("nan")}, "interval=nan"),
        ({"interval": True}, "interval=True: give seconds, or None"),
        ({"interval": "2"}, "interval='2'"),
        ({"max_stale": 3600}, "max_stale=3600: give a timedelta"),
        ({"max_stale": timedelta(-1)}, "give a timedelta of zero or more"),
        ({"path": 3}, "give the path of a directory"),
        ({"path": "a\0b"}, "null"),
        ({"path": __file__}, r"from_directory\(.*test_tenant_trust.py'\): a file; give the directory with index.json"),
        ({"path": f"{__file__}/none"}, "there is no such directory"),
    ],
)
def test_values_that_can_never_be_right_are_refused(layout: Layout, given: dict[str, Any], says: str) -> None:
    """Fail closed at construction."""
    arguments: dict[str, Any] = {"path": layout.usual().root} | given
    with pytest.raises(ConfigurationError, match=says):
        TenantTrust.from_directory(arguments.pop("path"), **arguments)


def test_a_policy_that_says_nobody_is_refused_at_once(layout: Layout) -> None:
    """The same rule as for every verifier of clients; what depends on the store is held in each decision."""
    many = [CertificateAuthority(f"ca {number}", key=pooled_key("ec-p256")) for number in range(PUBLIC_SIZE + 1)]
    layout.usual()
    layout.write("tenants/many/ca.pem", b"".join(ca.pem for ca in many))
    layout.index(common=["common.pem"], many=["ca.pem"], red=["ca.pem"])
    trust = TenantTrust.from_directory(layout.root, **STOPPED)
    with pytest.raises(ConfigurationError, match="can permit without saying who the client is"):
        trust.verifier("red", policy=policies.KeyStrength())
    with pytest.raises(ConfigurationError, match="needs a policy|takes policies"):
        trust.verifier("red", policy=None)  # type: ignore[arg-type]
    anyone = policies.Anyone()
    assert trust.verifier("red", policy=anyone).decide(CHAINS[RED]).code == "policy.anyone"
    chain = many[0].issue_client("gateway").chain_pem
    assert trust.verifier("many", policy=anyone).decide(chain).code == "trust.unavailable"
    assert trust.verifier("many", policy=GATEWAY).decide(chain).code == "name.match"


def test_a_policy_may_come_from_a_source(layout: Layout) -> None:
    """Asked once for each decision, and held to the same rule."""
    current: list[Any] = [GATEWAY]
    verifier = TenantTrust.from_directory(layout.usual().root, **STOPPED).verifier("red", policy=lambda: current[0])
    assert verifier.decide(CHAINS[RED]).code == "name.match"
    current[0] = policies.CommonName("other")
    assert verifier.decide(CHAINS[RED]).code == "name.mismatch"
    current[0] = policies.KeyStrength()
    assert verifier.decide(CHAINS[RED]).code == "trust.unavailable"


@pytest.mark.parametrize("name", [None, b"red", 3, ["red"], {}])
def test_a_tenant_that_is_no_text_is_our_callers_mistake(layout: Layout, name: Any) -> None:
    """No request says that."""
    trust = TenantTrust.from_directory(layout.usual().root, **STOPPED)
    trust.verifier("red", policy=GATEWAY)
    with pytest.raises(ConfigurationError, match="give its name, as the request has it"):
        trust.verifier(name, policy=GATEWAY)
    with pytest.raises(ConfigurationError, match="give its name"):
        trust.source(name)


def test_verifiers_are_kept_by_tenant_policy_profile_and_limits(layout: Layout) -> None:
    """The same question gets the same verifier, with its memory of paths; another question gets another."""
    trust = TenantTrust.from_directory(layout.usual().root, **STOPPED)
    first = trust.verifier("red", policy=GATEWAY)
    assert trust.verifier("red", policy=GATEWAY) is first
    assert first.profile is PathProfile.PRIVATE_PKI
    assert first.peer_role == "client"
    others = [
        trust.verifier("blue", policy=GATEWAY),
        trust.verifier("red", policy=policies.CommonName("gateway")),
        trust.verifier("red", policy=GATEWAY, profile=PathProfile.DIRECT),
        trust.verifier("red", policy=GATEWAY, limits=replace(Limits(), certificates=2)),
    ]
    assert len({id(one) for one in (first, *others)}) == 5
    assert others[2].decide(CHAINS[RED]).code == "name.match"


def test_a_policy_for_each_request_does_not_fill_the_memory(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few policies are kept; the longest known is forgotten first."""
    monkeypatch.setattr(implementation, "_POLICIES", 3)
    trust = TenantTrust.from_directory(layout.usual().root, **STOPPED)
    first = trust.verifier("red", policy=GATEWAY)
    for number in range(20):
        chain = RED.issue_client(f"gw-{number}", key=pooled_key("ec-p256")).chain_pem
        assert trust.verifier("red", policy=policies.CommonName(f"gw-{number}")).decide(chain)
    gc.collect()
    assert len(trust._shelves) == 3
    assert trust.verifier("red", policy=GATEWAY) is not first


def test_verifiers_of_tenants_that_left_are_forgotten(layout: Layout) -> None:
    """Tenants come and go; what is kept is bounded by those that there are."""
    layout.usual()
    trust = TenantTrust.from_directory(layout.root, **STOPPED)
    for number in range(12):
        layout.index(**{f"t{number}": []})
        trust.reload()
        trust.verifier(f"t{number}", policy=GATEWAY)
    assert len(trust._shelves) == 1
    assert len(next(iter(trust._shelves.values()))) <= 2


def test_a_source_serves_any_verifier(layout: Layout) -> None:
    """`Verifier.for_clients(trust=...)` takes it, and refuses at construction what refuses now."""
    trust = TenantTrust.from_directory(layout.usual().root, **STOPPED)
    source = trust.source("red")
    verifier = Verifier.for_clients(trust=source, policy=GATEWAY)
    assert verifier.decide(CHAINS[RED]).code == "name.match"
    assert source() == TrustStore(anchors=[RED.certificate])
    assert repr(source) == "<TenantSource 'red'>"
    with pytest.raises(ConfigurationError, match="there is no tenant 'none'") as caught:
        Verifier.for_clients(trust=trust.source("none"), policy=GATEWAY)
    assert caught.value.code == "tenant.unknown"


def test_from_an_index_by_name() -> None:
    """An object store: the index and the files come from one function, by their names."""
    objects = {
        "prod/index.toml": b'common = ["c.pem"]\n[tenants]\nred = ["ca.pem"]\nbare = []\ngone = ["ca.pem"]\n',
        "common/c.pem": SHARED.pem,
        "tenants/red/ca.pem": RED.pem,
    }
    with TenantTrust.from_index("prod/index.toml", read=objects.__getitem__) as trust:
        assert code(trust, "red", RED) == code(trust, "bare", SHARED) == "name.match"
        assert code(trust, "gone", RED) == "tenant.broken"
        assert "prod/index.toml" in repr(trust)


def test_from_an_index_that_is_a_mapping() -> None:
    """It does not change; the files may."""
    objects = {"tenants/red/ca.pem": RED.pem}
    listed = {"tenants": {"red": ["ca.pem"]}}
    trust = TenantTrust.from_index(listed, read=objects.__getitem__, **STOPPED)
    listed["tenants"]["blue"] = []
    assert code(trust, "red", RED) == "name.match"
    objects["tenants/red/ca.pem"] = NEW.pem
    assert trust.reload().number == 2
    assert code(trust, "red", RED) == "path.no-issuer"
    assert code(trust, "blue", BLUE) == "tenant.unknown"


@pytest.mark.parametrize(
    ("index", "read", "says"),
    [
        ("index.json", None, "takes a function"),
        (3, lambda _: b"", "takes the name of an index"),
        ({"tenant": {}}, lambda _: b"", "unknown key 'tenant'"),
        ("index.json", lambda _: None, "returned NoneType, not bytes"),
        ("index.json", {}.__getitem__, "'index.json' is missing"),
        ("index.ini", lambda _: b"{}", "does not end in .json"),
    ],
)
def test_an_index_that_can_never_be_right_is_refused(index: Any, read: Any, says: str) -> None:
    """Fail closed at construction."""
    with pytest.raises(ConfigurationError, match=says):
        TenantTrust.from_index(index, read=read)


def test_it_says_what_it_is(layout: Layout) -> None:
    """For a person; and it is built in each process instead of being sent there."""
    trust = TenantTrust.from_directory(layout.usual().root, **STOPPED)
    assert re.fullmatch(r"<TenantTrust tenants in '.*trust': 3 tenants, generation 1>", repr(trust))
    assert repr(trust.generation) == f"<Generation {trust.generation}: 3 tenants, 0 broken>"
    assert trust.problems == ()
    with pytest.raises(TypeError, match="build it in each process"):
        pickle.dumps(trust)
