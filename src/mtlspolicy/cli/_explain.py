"""``mtlspolicy explain``: the decision on a chain against trust and policy given by flags, its reasons, and the remedy.

Nothing here decides; flags become a `Verifier`, which does. Nobody proves possession of a key here, so the answer
authenticates nobody.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from mtlspolicy._chain import Possession, PresentedChain
from mtlspolicy._decision import Decision
from mtlspolicy._evidence import Fact, Facts, Need
from mtlspolicy._peer import now
from mtlspolicy._policy import Policy
from mtlspolicy._profile import PathProfile
from mtlspolicy._text import quoted
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier import Verifier
from mtlspolicy.cli._ask import Asked, ask, facts_of
from mtlspolicy.cli._ask_crl import Lists, Told, is_url
from mtlspolicy.cli._ask_crl import facts_of as facts_of_lists
from mtlspolicy.cli._input import parse_time, read_bytes, read_certificates
from mtlspolicy.cli._output import fields, paint, say, say_json, wrapped
from mtlspolicy.cli._remedies import remedy_for
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies import AnyOf, Anyone, CommonName, DNSName, IssuerPin, NotRevoked, SPKIPin, URIName

_PROFILES: Final = {
    "private-pki": PathProfile.PRIVATE_PKI,
    "webpki": PathProfile.WEBPKI,
    "direct": PathProfile.DIRECT,
}
_NOBODY: Final = {
    "ocsp": "ocsp: nobody was asked: the path is not valid, or nothing in it can be asked about",
    "list": "list: none: the path is not valid, or nothing in it names one",
    "crl": "crl: nothing was looked for: the path is not valid",
}
_ANYONE: Final = "no --allow-..., --pin or --issuer was given, so any client of this trust is asked for"


def run(arguments: argparse.Namespace) -> int:
    """Print the decision with its tree; 0 for PERMIT, 1 for everything else.

    Raises:
        ConfigurationError: A flag, a file or their combination is wrong.
    """
    at = None if arguments.at is None else parse_time(arguments.at)
    policy = _policy(arguments)
    note = _ANYONE if policy is None and arguments.server is None else None
    _require_sense(arguments)
    chain = read_bytes(arguments.chain)
    told: dict[str, list[dict[str, str]]] = {}
    if arguments.ocsp is not None:
        decision, asked, found = _decided_with_answers(arguments, policy, chain)
        told["ocsp"] = [one.row() for one in asked]
        if found:
            told["crl"] = [one.row() for one in found]
    elif arguments.crl is not None:
        decision, found, lists = _decided_with_lists(arguments, policy, chain, at)
        told |= {"list": lists, "crl": [one.row() for one in found]}
    else:
        decision = _verifier(arguments, policy).decide(chain, at=at)
    if arguments.json:
        say_json({**decision.as_dict(), **told})
    else:
        _print(decision, note=note)
        _print_told(told)
    return 0 if decision else 1


def _require_sense(arguments: argparse.Namespace) -> None:
    """Raise for flags about revocation that do not go together, or name something else than they take."""
    responder, crl = arguments.ocsp, arguments.crl
    if responder is not None and crl is not None:
        raise ConfigurationError("--ocsp and --crl: say one of them, and the other in a second call")
    if responder and not is_url(responder):
        raise ConfigurationError(
            f"--ocsp {quoted(responder)} is no URL: give the responder's, such as http://ocsp.example.com/, or "
            "nothing for the one that the certificate names; a revocation list goes to --crl FILE"
        )
    if arguments.allow_private and responder is None and (crl is None or (crl and not is_url(crl))):
        raise ConfigurationError("--allow-private is about responders: say --ocsp as well, or --crl URL")
    if arguments.at is not None and responder is not None:
        raise ConfigurationError("--ocsp asks responders now: leave --at out")
    if arguments.at is not None and crl is not None and (not crl or is_url(crl)):
        raise ConfigurationError("--crl fetches lists of now: leave --at out, or give the list of that time as a file")


def _verifier(arguments: argparse.Namespace, policy: Policy | None) -> Verifier:
    trust, profile = _trust(arguments), _PROFILES[arguments.profile]
    if arguments.server is not None:
        return Verifier.for_servers(trust=trust, expected=arguments.server, policy=policy, profile=profile)
    return Verifier.for_clients(trust=trust, policy=Anyone() if policy is None else policy, profile=profile)


def _decided_with_answers(
    arguments: argparse.Namespace, policy: Policy | None, chain: bytes
) -> tuple[Decision, tuple[Asked, ...], tuple[Told, ...]]:
    """Ask about the path, whatever the rest of the policy makes of the peer, and decide with the answers.

    A responder may sign by a delegate that may itself be revoked: then the delegate is asked about as well, by OCSP and
    on the CRL that its own certificate names. What is said of it hangs on nobody else, so there is no third round.
    """
    url, private = arguments.ocsp or None, arguments.allow_private
    # the responder that somebody names is that of the peer's issuer, and knows nothing of the CAs above
    clause = NotRevoked("ocsp", responder=url, scope="path" if url is None else "end-entity")
    asking = _verifier(arguments, clause if arguments.server is not None else Anyone() & clause)
    asked = ask(_needs(asking, chain, None), allow_private=private)
    of_delegates = _needs(asking, chain, None, facts_of(asked))
    asked += ask(of_delegates, allow_private=private)
    at = now()
    found = Lists("", allow_private=private).told(of_delegates, at)
    facts = facts_of(asked).with_({one.question.need: Fact(one.answer, at) for one in found})
    return _deciding(arguments, policy, clause).decide(chain, facts=facts), asked, found


def _decided_with_lists(
    arguments: argparse.Namespace, policy: Policy | None, chain: bytes, at: datetime | None
) -> tuple[Decision, tuple[Told, ...], list[dict[str, str]]]:
    """Look for the path's certificates in the lists, decide with what they say, and tell what each is."""
    lists = Lists(arguments.crl, allow_private=arguments.allow_private)  # first: a file that is not there is said
    clause = NotRevoked("crl", scope="end-entity" if arguments.crl else "path")
    asking = _verifier(arguments, clause if arguments.server is not None else Anyone() & clause)
    moment = now() if at is None else at
    told = lists.told(_needs(asking, chain, at), moment)
    decision = _deciding(arguments, policy, clause).decide(chain, facts=facts_of_lists(told, moment), at=at)
    return decision, told, list(lists.rows(moment))


def _needs(asking: Verifier, chain: bytes, at: datetime | None, facts: Facts = Facts.NONE) -> tuple[Need, ...]:
    """Return what is still to be known of the path in *chain* beside *facts*."""
    try:
        presented = PresentedChain.parse(chain, possession=Possession.NONE, limits=asking.limits)
        needs = asking.judgement(presented, at=at).outcome(facts).needs
        return tuple(need for need in needs if facts.get(need) is None)
    except MalformedEvidence:
        return ()  # the decision says what is wrong with it


def _deciding(arguments: argparse.Namespace, policy: Policy | None, clause: Policy) -> Verifier:
    base = policy if policy is not None or arguments.server is not None else Anyone()
    return _verifier(arguments, clause if base is None else base & clause)


def _trust(arguments: argparse.Namespace) -> TrustStore:
    stores: list[TrustStore] = []
    if arguments.trust:
        stores.append(TrustStore.from_files(*arguments.trust, anchors=arguments.anchors))
    if arguments.public:
        stores.append(TrustStore.public())
    if arguments.peer:
        stores.append(
            TrustStore(peers=[cert for file in arguments.peer for cert in read_certificates(file).certificates])
        )
    if not stores:
        raise ConfigurationError("no trust: give --trust FILE with the CA's certificate, --public, or --peer FILE")
    joined = stores[0]
    for store in stores[1:]:
        joined |= store
    return joined


def _policy(arguments: argparse.Namespace) -> Policy | None:
    names: list[Policy] = []
    if arguments.allow_cn:
        names.append(CommonName(*arguments.allow_cn))
    if arguments.allow_dns:
        names.append(DNSName(*arguments.allow_dns))
    if arguments.allow_uri:
        names.append(URIName(*arguments.allow_uri))
    clauses: list[Policy] = names[:1] if len(names) < 2 else [AnyOf(*names)]
    if arguments.pin:
        clauses.append(SPKIPin(*arguments.pin))
    if arguments.issuer:
        clauses.append(_issuer(arguments.issuer))
    if not clauses:
        return None
    joined = clauses[0]
    for clause in clauses[1:]:
        joined &= clause
    return joined


def _issuer(files: list[str]) -> Policy:
    pins: list[Policy] = [IssuerPin.from_file(file) for file in files]
    return pins[0] if len(pins) == 1 else AnyOf(*pins)


def _print(decision: Decision, *, note: str | None) -> None:
    first, _, rest = decision.explain().partition("\n")
    verdict, _, headline = first.partition(" ")
    say(f"{paint(verdict, 'green' if decision else 'red')} {headline}")
    say(rest)
    if note is not None:
        say(f"  note: {note}")
    remedy = None if decision else remedy_for(decision)
    if remedy is not None:
        say()
        say(wrapped(remedy, first="remedy: ", rest="        "))


def _print_told(told: Mapping[str, Iterable[dict[str, str]]]) -> None:
    for area, rows in told.items():
        say()
        if not rows:
            say(_NOBODY[area])
        _print_rows(area, rows)


def _print_rows(area: str, rows: Iterable[dict[str, str]]) -> None:
    for row in rows:
        left = dict(row)
        say(f"{area}: {left.pop('list' if area == 'list' else 'certificate')}")
        detail = left.pop("detail", "")
        for line in fields(left, indent="  "):
            say(line)
        if detail:
            say(wrapped(detail, first="  ", rest="  "))
