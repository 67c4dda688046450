"""How the documentation is built: offline, with every reference that can be resolved resolved."""

# ruff: noqa: INP001 - read by Sphinx, not a package

from __future__ import annotations

from importlib import import_module
from typing import Any

from docutils.nodes import Element, TextElement
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from mtlspolicy import __version__
from mtlspolicy.testing import MARKER_TEXT

project = "mtlspolicy"
author = "The mtlspolicy authors"
copyright = author  # noqa: A001 - the name that Sphinx reads
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "py:obj"
nitpicky = True
add_module_names = False
# Names of other projects: their inventories would have to be fetched, and the build is offline.
nitpick_ignore_regex = [
    ("py:obj", r".*"),  # single backticks in docstrings: names of ours are linked, others are only set in type
    ("py:(class|exc|meth|func|data|attr)", r"(?!mtlspolicy\.(policies|tls|testing|errors)\.).*"),
]

myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"mtlspolicy {release}"
html_copy_source = False
html_show_copyright = False

_HIDDEN = "\ue000"  # of the private use area: in no docstring
_PUBLIC = ("mtlspolicy", "mtlspolicy.policies", "mtlspolicy.tls", "mtlspolicy.testing", "mtlspolicy.errors")


def _link_public_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: TextElement) -> Element | None:
    """Link a name by the place where users import it from, wherever its definition lives."""
    name = node.get("reftarget", "").lstrip("~.").removeprefix("mtlspolicy.")
    first, _, rest = name.rpartition(".") if "." in name else ("", "", name)
    candidates = {name, rest, f"{first.rpartition('.')[2]}.{rest}"}
    domain: Any = env.get_domain("py")
    for module in _PUBLIC:
        for candidate in candidates:
            target = f"{module}.{candidate}"
            if target in domain.objects:
                found: Element | None = domain.resolve_xref(
                    env, node.get("refdoc", app.config.root_doc), app.builder, "obj", target, node, content
                )
                return found
    return None


def _plain_defaults(*arguments: Any) -> tuple[str | None, str | None]:
    """Write defaults that Sphinx cannot read (an f-string in the source, a factory) as the values that they are."""
    signature, returns = arguments[5], arguments[6]
    if signature:
        signature = signature.replace('f"{MARKER_TEXT} ', f'"{MARKER_TEXT} ').replace("<factory>", "{}")
    return signature, returns


def _hide_colons(*arguments: Any) -> None:
    """Keep what stands before a colon in the docstring of an attribute from being read as its type."""
    what, lines = arguments[1], arguments[5]
    if what in ("attribute", "data", "property"):
        lines[:] = [line.replace(":", _HIDDEN) for line in lines]


def _show_colons(*arguments: Any) -> None:
    arguments[5][:] = [line.replace(_HIDDEN, ":") for line in arguments[5]]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register what resolves references to names whose definition lives in a private module."""
    import_module("mtlspolicy.policies")
    app.connect("autodoc-process-signature", _plain_defaults)
    app.connect("autodoc-process-docstring", _hide_colons, priority=400)  # before napoleon, which has 500
    app.connect("autodoc-process-docstring", _show_colons, priority=600)
    app.connect("missing-reference", _link_public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
