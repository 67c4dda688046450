"""What a LoRa Basics Station is told: update-info of CUPS, discovery, and traffic, which is sent back as it came.

It stands for the network server that you have. Who a gateway is, it asks; see `app`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mtlspolicy import VerificationError, VerifiedPeer

NOTHING_NEW: Final = bytes(14)
"""CUPS: two URIs of no length, two sets of credentials, a signature and an update of none (1 + 1 + 2 + 2 + 4 + 4)."""
_MOST: Final = 8192
"""Octets of an update-info request that are read; a Station's has some hundred."""


async def router_of(connection: Request | WebSocket) -> Any:
    """Return what a gateway says that it is: in the path of its traffic, or as ``router`` in what it sends.

    Raises:
        Exception: It says nothing of the kind.
    """
    if "router" in connection.path_params:
        return connection.path_params["router"]
    if isinstance(connection, WebSocket):
        return (await connection.receive_json())["router"]
    body = bytearray()
    async for part in connection.stream():
        body += part
        if len(body) > _MOST:
            raise ValueError(f"more than {_MOST} octets")
    return json.loads(body)["router"]


def routes(gateway: Callable[[Any], Awaitable[VerifiedPeer]]) -> list[Route | WebSocketRoute]:
    """Return the routes of the network server.

    Args:
        gateway: Returns the gateway that sent a request, if it is the one that `router_of` names; raises otherwise.
    """

    async def update_info(request: Request) -> Response:
        await gateway(request)
        return Response(NOTHING_NEW, media_type="application/octet-stream")

    async def discovery(socket: WebSocket) -> None:
        await socket.accept()
        try:
            peer = await gateway(socket)
        except VerificationError as refusal:
            await socket.send_json({"error": refusal.code})
        else:
            host = socket.url.netloc
            await socket.send_json({"router": peer.common_name, "uri": f"wss://{host}/traffic/{peer.common_name}"})
        await socket.close()

    async def traffic(socket: WebSocket) -> None:
        await gateway(socket)
        await socket.accept()
        async for message in socket.iter_text():
            await socket.send_text(message)

    return [
        Route("/update-info", update_info, methods=["POST"]),
        WebSocketRoute("/router-info", discovery),
        WebSocketRoute("/traffic/{router}", traffic),
    ]
