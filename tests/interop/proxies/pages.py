"""Reads the configuration and the Python lines out of the how-to page of a proxy, so that page and test cannot differ.

A configuration is a block whose first line is ``# /path/of/the/file``. A change of it is a block of lines that begin
with ``-`` and ``+``. A comment that begins with ``# sanitise`` stands above each line without which the proxy passes on
what clients write.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

_HOWTO: Final = Path(__file__).parents[3] / "docs" / "howto"
_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FOLDER: Final = "/etc/mtls/"
"""Where the pages keep certificates and keys."""
_ANY: Final = "0.0.0.0"  # noqa: S104 - what the pages print, and a test never binds
_HOST: Final = "127.0.0.1"
_NAME: Final = "api.example.com"
_MARK: Final = "# sanitise"


class Page:
    """One how-to page.

    Args:
        name: Of the file, such as ``"proxy-nginx.md"``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._blocks = _FENCE.findall((_HOWTO / name).read_text(encoding="utf-8"))

    def _texts(self) -> list[str]:
        return [code for kind, code in self._blocks if kind == "text"]

    def configuration(self, path: str) -> str:
        """Return the block that is the file *path*."""
        (found,) = (code for code in self._texts() if code.startswith(f"# {path}\n"))
        return str(found)

    def changed(self, text: str, number: int) -> str:
        """Return *text* with the change *number* of the page made, 0 for the first: each line is there once."""
        change = [code for code in self._texts() if code[0] in "-+"][number]
        old = [line[1:] for line in change.splitlines() if line[0] == "-"]
        new = [line[1:] for line in change.splitlines() if line[0] == "+"]
        assert text.count("\n".join(old) + "\n") == 1, f"{self.name}: {old} stands there once"
        return text.replace("\n".join(old) + "\n", "".join(f"{line}\n" for line in new))

    def namespace(self, folder: Path, *, blocks: int = 1) -> dict[str, Any]:
        """Run the first Python *blocks* with the files of *folder*, and return what they define, such as ``source``."""
        codes = [code for kind, code in self._blocks if kind == "python"]
        assert len(codes) >= blocks
        names: dict[str, Any] = {"__name__": "example"}
        for number, code in enumerate(codes[:blocks], 1):
            text = code.replace('from_file("', f'from_file("{folder}/')
            exec(compile(text, f"{self.name}, block {number}", "exec", dont_inherit=True), names)  # noqa: S102 - ours
        return names


def filled(text: str, folder: Path, ports: dict[int, int]) -> str:
    """Return a configuration with the folder and the ports of a test; it listens on loopback alone.

    Args:
        text: As the page prints it.
        folder: In place of ``/etc/mtls``.
        ports: Ports on the page to ports of the test.
    """
    for old, new in ((_FOLDER, f"{folder}/"), (_ANY, _HOST), (_NAME, "localhost")):
        text = text.replace(old, new)
    return re.sub(r"\b\d{4}\b", lambda found: str(ports.get(int(found[0]), found[0])), text)


def without_sanitising(text: str) -> str:
    """Return a configuration without the lines that are marked; some are."""
    lines = text.splitlines(keepends=True)
    marked = {at + 1 for at, line in enumerate(lines) if line.lstrip().startswith(_MARK)}
    assert marked
    return "".join(line for at, line in enumerate(lines) if at not in marked)
