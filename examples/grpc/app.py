"""A gRPC service that each client may ask about its own account, and about no other."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.integrations import grpc as mtls

clients = Verifier.for_clients(trust=TrustStore.from_file("clients-ca.pem"), policy=policies.CommonName("frodo", "sam"))
owner = mtls.require(lambda request: policies.CommonName(request.decode("ascii")))


def balance(request: bytes, context: Any) -> bytes:
    """Tell the balance of the account that the message names; a real service has messages made by protoc."""
    return f"{owner(context, request).common_name} has 144 rings".encode()


bank = grpc.method_handlers_generic_handler("shire.Bank", {"Balance": grpc.unary_unary_rpc_method_handler(balance)})
own = tls.Credential.from_files("server.pem", "server.key")
server, port = mtls.server(
    ThreadPoolExecutor(8), address=sys.argv[1], credential=own, verifier=clients, handlers=[bank]
)  # fmt: skip
server.start()
print(port, flush=True)
server.wait_for_termination()
