"""FastAPI: the peer as a dependency; a refusal is the table's answer wherever the middleware and the route stand."""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
from collections.abc import Generator
from typing import Annotated, Any, Final

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Form, Request, Security, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import HTTPConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from mtlspolicy import ConfigurationError, Policy, PresentedChain, VerificationError, VerifiedPeer, policies
from mtlspolicy.integrations import asgi
from mtlspolicy.integrations import fastapi as ours
from mtlspolicy.integrations._log import LIMITER
from tests.integrations import applications
from tests.integrations.frameworks import ROWS, asking, client_context, judge, server_context
from tests.integrations.serving import FOREIGN, FRODO, HOST, PATIENCE, SAM, VERIFIER, Server, item, uvicorn_serving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")

CALLED: Final[list[str]] = []
NOTES: Final[queue.SimpleQueue[str]] = queue.SimpleQueue()
DOORS: Final = ["installed", "around"]


async def _owner(request: HTTPConnection) -> Policy:
    assert isinstance(request, Request)
    return policies.CommonName(str((await request.form())["user"]))


_in_path = ours.require(lambda request: policies.CommonName(request.path_params["name"]))
_Peer = Annotated[VerifiedPeer, Depends(ours.peer)]


def _routes(app: FastAPI) -> FastAPI:
    @app.get("/users/{name}")
    def act(who: Annotated[VerifiedPeer, Security(_in_path)], name: str) -> str:
        assert who.common_name == name
        return name

    @app.post("/pay")
    async def pay(
        who: Annotated[VerifiedPeer, Security(ours.require(_owner))],
        user: Annotated[str, Form()],
        tasks: BackgroundTasks,
        note: Annotated[str, Form()] = "",
    ) -> str:
        assert who.common_name == user
        tasks.add_task(NOTES.put, note)
        return user

    @app.post("/slip", dependencies=[Depends(ours.require(_owner))])
    async def slip(request: Request) -> str:
        return str((await request.form())["user"])

    @app.get("/me")
    def me(who: _Peer) -> str | None:
        return who.common_name

    @app.get("/anyone")
    async def anyone(
        who: Annotated[VerifiedPeer | None, Depends(ours.peer_or_none)],
        chain: Annotated[PresentedChain | None, Depends(ours.presented)],
    ) -> str | None:
        assert (who is None) == (chain is None)
        return "nobody" if who is None else who.common_name

    @app.get("/further")
    async def further(who: _Peer) -> str:
        who.require(policies.CommonName("sam"))
        return "sam"

    return app


def _troubles(app: FastAPI) -> FastAPI:
    @app.get("/broken")
    async def broken(who: _Peer) -> None:
        raise RuntimeError(str(who.common_name))

    @app.get("/called-another")
    async def called_another(who: _Peer) -> None:
        del who
        VERIFIER.verify(FOREIGN)

    @app.get("/swallowed")
    async def swallowed(request: Request) -> JSONResponse:
        try:
            await asgi.require(policies.CommonName("sam"))(request)
        except VerificationError:
            return JSONResponse({"own": "words"}, 503 if "late" in request.query_params else 418)
        return JSONResponse({})

    @app.get("/streamed")
    async def streamed(request: Request) -> StreamingResponse:
        try:
            await asgi.require(policies.CommonName("sam"))(request)
        except VerificationError:
            return StreamingResponse(iter(["a" * int(request.query_params.get("size", "1")), "b"]), 418)
        return StreamingResponse(iter(["sam"]))

    @app.websocket("/talk/{name}")
    async def talk(socket: WebSocket, who: Annotated[VerifiedPeer, Security(_in_path)]) -> None:
        await socket.accept()
        await socket.send_text(str(who.common_name))
        who.require(policies.CommonName("sam"))
        await socket.close()

    return app


def _application() -> FastAPI:
    """Return an application with all that turns errors into pages: a handler for Exception, middlewares, a mount."""
    app = _troubles(_routes(FastAPI()))
    app.mount("/sub", _routes(FastAPI()))

    @app.exception_handler(Exception)
    async def page(request: Request, error: Exception) -> JSONResponse:
        del request
        CALLED.append(type(error).__name__)
        return JSONResponse({"error": "page"}, 500)

    @app.middleware("http")
    async def passing(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    return app


@pytest.fixture(scope="module", params=DOORS)
def served(request: pytest.FixtureRequest) -> Generator[tuple[Server, bool], None, None]:
    """Lend the application behind a proxy, with the middleware added, and alone over TLS, with it around."""
    app = _application()
    if request.param == "installed":
        app.add_middleware(asgi.Middleware, source=applications.source(), verifier=VERIFIER, required=False)
        with uvicorn_serving(app) as server:
            yield server, False
    else:
        with uvicorn_serving(app, context=server_context()) as server:
            yield server, True


@pytest.mark.parametrize("below", ["", "/sub"])
def test_the_banks_case_and_its_neighbours(served: tuple[Server, bool], below: str) -> None:
    """The CN is the user in the form or path, or 403; a form without it is 403; also in a mounted application."""
    server, direct = served
    rows = [(row[0], below + row[1], *row[2:]) for row in ROWS if not below or row[1] != "/broken"]
    judge(server.address[1], direct=direct, rows=rows)
    slips = [("POST", f"{below}/slip", *row[2:]) for row in ROWS if row[1] == "/pay"]
    judge(server.address[1], direct=direct, rows=slips)


def test_one_connection_of_a_proxy_carries_many_clients_and_mixes_none(served: tuple[Server, bool]) -> None:
    """Who asks belongs to a request; over TLS each client has a connection of its own, a hundred of them at once."""
    server, direct = served
    names = ["frodo", "sam", None, "frodo"] * 25
    headers = {"frodo": {"Client-Cert": item(FRODO)}, "sam": {"Client-Cert": item(SAM)}, None: {}}
    place = f"https://localhost:{server.address[1]}" if direct else f"http://{HOST}:{server.address[1]}"

    async def one(client: httpx.AsyncClient, name: str | None) -> str:
        reply = await client.get(f"{place}/users/frodo", headers={} if direct else headers[name])
        return str(reply.json() if reply.status_code == 200 else reply.json()["error"])

    async def own(name: str | None) -> str:
        async with httpx.AsyncClient(verify=client_context(name), timeout=PATIENCE) as client:
            return await one(client, name)

    async def ask() -> list[str]:
        if direct:
            return await asyncio.gather(*map(own, names))
        limits = httpx.Limits(max_connections=2)
        async with httpx.AsyncClient(limits=limits, timeout=PATIENCE) as client:
            return await asyncio.gather(*(one(client, name) for name in names))

    wanted = {"frodo": "frodo", "sam": "name.mismatch", None: "path.no-certificate"}
    assert asyncio.run(ask()) == [wanted[name] for name in names]


def test_a_form_that_cannot_be_read_is_no_server_error(served: tuple[Server, bool]) -> None:
    """Whether our callable or FastAPI reads it first, a stranger's bytes are his own fault."""
    server, direct = served
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with asking(server.address[1], "frodo", direct=direct) as client:
        assert client.post("/slip", content=b"--y", headers=headers).json() == {"error": "policy.error"}
        assert client.post("/pay", content=b"--y", headers=headers).status_code in {400, 403}


def test_no_task_of_a_refused_request_runs(served: tuple[Server, bool]) -> None:
    """What an operation would do after its response it does for whom it served."""
    server, direct = served
    with asking(server.address[1], "sam", direct=direct) as client:
        assert client.post("/pay", data={"user": "frodo", "note": "refused"}).status_code == 403
        assert client.post("/pay", data={"user": "sam", "note": "served"}).status_code == 200
    while not (note := NOTES.get(timeout=PATIENCE)):  # of another test
        continue
    assert note == "served"


def test_a_refusal_of_somebody_else_is_the_applications_error(served: tuple[Server, bool]) -> None:
    """A server that the application itself called and did not trust is no reason to refuse the client."""
    server, direct = served
    with asking(server.address[1], "frodo", direct=direct) as client:
        reply = client.get("/called-another")
    assert (reply.status_code, reply.json()) == (500, {"error": "page"})


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/swallowed", 418, '{"own":"words"}'),
        ("/streamed", 418, "ab"),
        ("/streamed?size=1100000", 418, "a" * 1_100_000 + "b"),
    ],
    ids=["in-one-piece", "in-two", "longer-than-is-held"],
)
def test_an_application_may_answer_a_refusal_itself(
    served: tuple[Server, bool], path: str, status: int, text: str
) -> None:
    """What it has caught is its own to answer, in one piece or several."""
    server, direct = served
    with asking(server.address[1], "frodo", direct=direct) as client:
        reply = client.get(path)
    assert (reply.status_code, reply.text) == (status, text)


def test_a_refusal_that_became_a_server_error_is_named(
    served: tuple[Server, bool], caplog: pytest.LogCaptureFixture
) -> None:
    """Something in between caught it: the log says which refusal, and what to do."""
    server, direct = served
    LIMITER.clear()
    with caplog.at_level(logging.ERROR, "mtlspolicy.request"), asking(server.address[1], "frodo", direct=direct) as who:
        assert who.get("/swallowed?late=1").status_code == 503
        assert who.get("/me").status_code == 200
    (record,) = [record for record in caplog.records if record.name == "mtlspolicy.request"]
    assert "the refusal name.mismatch was answered with 503" in record.getMessage()
    assert "fastapi.answer" in record.getMessage()


def test_websockets(served: tuple[Server, bool]) -> None:
    """A WebSocket is refused before it is accepted, and one that is open is closed."""
    server, direct = served
    place = f"wss://localhost:{server.address[1]}" if direct else f"ws://{HOST}:{server.address[1]}"
    context = client_context("frodo") if direct else None
    headers = {} if direct else {"Client-Cert": item(FRODO)}
    options: Any = {"ssl": context, "additional_headers": headers, "open_timeout": PATIENCE}
    with connect(f"{place}/talk/frodo", **options) as socket:
        assert socket.recv(PATIENCE) == "frodo"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(PATIENCE)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "name.mismatch")
    with pytest.raises(InvalidStatus) as refused, connect(f"{place}/talk/sam", **options):
        raise AssertionError
    assert refused.value.response.status_code == 403


def test_the_openapi_document_names_mutual_tls(served: tuple[Server, bool]) -> None:
    """Scheme and operation, as OpenAPI 3.1 writes them; what needs no certificate has none."""
    server, direct = served
    with asking(server.address[1], "frodo", direct=direct) as client:
        document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {"mutualTLS": {"type": "mutualTLS"}}
    security = {path: item.get("get", item.get("post")).get("security") for path, item in document["paths"].items()}
    assert security["/users/{name}"] == security["/pay"] == security["/me"] == [{"mutualTLS": []}]
    assert security["/anyone"] is None


def test_the_scheme_may_have_a_name_and_a_description() -> None:
    """An interface with two kinds of clients names both, beside FastAPI's own schemes."""
    from fastapi.security import HTTPBearer

    app = FastAPI()
    bank = ours.require(policies.CommonName("bank"), scheme_name="bank", description="A certificate of *Bank CA*")

    @app.get("/", dependencies=[Security(bank), Security(HTTPBearer())])
    def root() -> None:
        raise AssertionError

    document = app.openapi()
    assert document["components"]["securitySchemes"] == {
        "bank": {"type": "mutualTLS", "description": "A certificate of *Bank CA*"},
        "HTTPBearer": {"type": "http", "scheme": "bearer"},
    }
    assert document["paths"]["/"]["get"]["security"] == [{"bank": []}, {"HTTPBearer": []}]
    ours._tell()  # it knows by now: nothing is told twice
    assert app.openapi() is document


def test_the_answer_as_a_handler_keeps_refusals_from_ones_own() -> None:
    """With it a handler for Exception hears nothing of a refusal, and others' errors stay theirs."""
    app = _application()
    app.add_exception_handler(VerificationError, ours.answer)
    with uvicorn_serving(app, context=server_context(), absent=401) as server:
        CALLED.clear()
        for name, status, code in (("frodo", 403, "name.mismatch"), (None, 401, "path.no-certificate")):
            with asking(server.address[1], name, direct=True) as client:
                reply = client.get("/further")
                assert (reply.status_code, reply.json()) == (status, {"error": code})
        assert CALLED == []
        with asking(server.address[1], "frodo", direct=True) as client:
            assert client.get("/called-another").json() == {"error": "page"}
        url = f"wss://localhost:{server.address[1]}/talk/sam"
        with pytest.raises(InvalidStatus) as refused, connect(url, ssl=client_context("frodo")):
            raise AssertionError
    assert refused.value.response.status_code == 403


def test_the_answer_as_a_handler_writes_the_line(caplog: pytest.LogCaptureFixture) -> None:
    """No refusal is silent: over TLS and behind a proxy, one line with the address of the socket and the code."""
    over_tls, forwarded = _routes(FastAPI()), _routes(FastAPI())
    for app in (over_tls, forwarded):
        app.add_exception_handler(VerificationError, ours.answer)
    behind = asgi.Middleware(forwarded, source=applications.source(), verifier=VERIFIER)
    LIMITER.clear()
    with caplog.at_level(logging.WARNING, "mtlspolicy.request"):
        with (
            uvicorn_serving(over_tls, context=server_context()) as server,
            asking(server.address[1], "frodo", direct=True) as client,
        ):
            assert client.get("/further").status_code == 403
        with uvicorn_serving(behind) as server, asking(server.address[1], "frodo", direct=False) as client:
            assert client.get("/further").status_code == 403
    lines = [record.getMessage() for record in caplog.records if record.name == "mtlspolicy.request"]
    assert len(lines) == 2
    assert all(line.startswith("refused a request over 127.0.0.1: name.mismatch: expected 'sam'") for line in lines)


def test_without_a_middleware_nobody_is_a_peer() -> None:
    """What was forgotten opens nothing: each question is an error of the set-up."""
    app = _routes(FastAPI())
    with uvicorn_serving(app) as server:
        for path in ("/users/frodo", "/me", "/anyone", "/further"):
            with asking(server.address[1], "frodo", direct=False) as client:
                assert client.get(path).status_code == 500, path
    with pytest.raises(ConfigurationError, match="no middleware of mtlspolicy"):
        ours.peer(Request({"type": "http", "headers": []}))
    with pytest.raises(ConfigurationError, match="give a policy"):
        ours.require("sam")  # type: ignore[arg-type]
