"""``mtlspolicy explain``: the decision on a chain against trust and policy given by flags, its reasons, and the remedy.

Nothing here decides; flags become a `Verifier`, which does. Nobody proves possession of a key here, so the answer
authenticates nobody.
"""

from __future__ import annotations

import argparse
from typing import Final

from mtlspolicy._decision import Decision
from mtlspolicy._policy import Policy
from mtlspolicy._profile import PathProfile
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier import Verifier
from mtlspolicy.cli._input import parse_time, read_bytes, read_certificates
from mtlspolicy.cli._output import paint, say, say_json, wrapped
from mtlspolicy.cli._remedies import remedy_for
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies import AnyOf, Anyone, CommonName, DNSName, IssuerPin, SPKIPin, URIName

_PROFILES: Final = {
    "private-pki": PathProfile.PRIVATE_PKI,
    "webpki": PathProfile.WEBPKI,
    "direct": PathProfile.DIRECT,
}
_ANYONE: Final = "no --allow-..., --pin or --issuer was given, so any client of this trust is asked for"


def run(arguments: argparse.Namespace) -> int:
    """Print the decision with its tree; 0 for PERMIT, 1 for everything else.

    Raises:
        ConfigurationError: A flag, a file or their combination is wrong.
    """
    at = None if arguments.at is None else parse_time(arguments.at)
    trust, policy = _trust(arguments), _policy(arguments)
    profile = _PROFILES[arguments.profile]
    if arguments.server is not None:
        verifier = Verifier.for_servers(trust=trust, expected=arguments.server, policy=policy, profile=profile)
    else:
        verifier = Verifier.for_clients(trust=trust, policy=Anyone() if policy is None else policy, profile=profile)
    decision = verifier.decide(read_bytes(arguments.chain), at=at)
    if arguments.json:
        say_json(decision.as_dict())
    else:
        _print(decision, note=_ANYONE if policy is None and arguments.server is None else None)
    return 0 if decision else 1


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
