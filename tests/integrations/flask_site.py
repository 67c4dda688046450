"""A site in Flask, whose own pages answer every other error; also loaded by gunicorn."""

from __future__ import annotations

from typing import Any

import flask

from mtlspolicy import VerificationError, policies
from mtlspolicy.integrations import wsgi

app = flask.Flask(__name__)
app.register_error_handler(VerificationError, wsgi.answer)
staff = flask.Blueprint("staff", __name__, url_prefix="/staff")
_owner = wsgi.require(lambda request: policies.CommonName(request.form["user"]))


@app.errorhandler(Exception)
def page(error: Exception) -> tuple[str, int]:
    """Be the site's own page for errors."""
    return f"own page: {type(error).__name__}", 500


@staff.before_request
def only_sam() -> None:
    """Ask for every route of the blueprint."""
    wsgi.require(policies.CommonName("sam"))(flask.request)


@staff.get("/")
def desk() -> str:
    """Be one of them."""
    return "at your desk"


@app.get("/users/<name>")
def users(name: str) -> str:
    """Tell the sender its name, which is the one in the path."""
    return str(wsgi.require(policies.CommonName(name))(flask.request).common_name)


@app.post("/pay")
def pay() -> str:
    """Pay for the user in the form."""
    _owner(flask.request)
    return flask.request.form["user"]


@app.get("/me")
def me() -> str:
    """Tell the sender its name."""
    return str(wsgi.peer(flask.request).common_name)


@app.get("/anyone")
def anyone() -> str:
    """Tell anybody."""
    who = wsgi.peer_or_none(flask.request)
    return "nobody" if who is None else str(who.common_name)


@app.get("/further")
def further() -> str:
    """Ask the peer itself."""
    wsgi.peer(flask.request).require(policies.CommonName("sam"))
    return "sam"


@app.get("/broken")
def broken() -> str:
    """Fail."""
    raise RuntimeError(str(wsgi.peer(flask.request)))


app.register_blueprint(staff)
application: Any = wsgi.Middleware(app, source="connection", required=False)
