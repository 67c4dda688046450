"""The openssl commands of two well-known guides, as they print them; what they ask the user is answered by options.

With OpenSSL before 3.2 ``openssl x509 -req`` makes X.509 v1 certificates, and certificates of version 3 since.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .programs import openssl_version, run  # noqa: TID252 - tests are no package that could be named

GATEWAY: Final = "1111111111111111"
_ISSUE: Final = "x509 -req -days {days} -in {name}.csr -CA {root}.pem -CAkey {root}.key -CAcreateserial -out {name}.pem"
_ROOT_AT_ONCE: Final = "req -x509 -sha256 -days {days} -newkey rsa:2048 -keyout root.key -out root.pem"
_ROOT: Final = "x509 -req -days {days} -in root.csr -signkey root.key -out root.pem"


@dataclass(frozen=True)
class Made:
    """What a guide made, PEM files in one folder.

    Attributes:
        folder: Where ``NAME.pem`` and ``NAME.key`` lie.
        right: Name of the client that is meant, which is its common name but for the gateway.
        wrong: Names of others that the same root issued.
    """

    folder: Path
    right: str
    wrong: tuple[str, ...]

    @property
    def root(self) -> Path:
        """The root certificate."""
        return self.folder / "root.pem"

    @property
    def common_name(self) -> str:
        """The common name of the client that is meant."""
        return GATEWAY if self.right == "gateway" else self.right

    def files(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key of *name*."""
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


def first_guide(folder: Path, *, days: int = 3650) -> Made:
    """Run the guide that makes root, server and client alike, all by ``x509 -req``; and one more client."""
    _request(folder, "root", "/CN=root")
    _openssl(folder, _ROOT, days=days)
    for name, common_name in (("server", "localhost"), ("client", "client"), ("other", "other")):
        _request(folder, name, f"/CN={common_name}")
        _openssl(folder, _ISSUE, days=days, name=name, root="root")
    return Made(folder, "client", ("other", "server"))


def second_guide(folder: Path, *, days: int = 1825) -> Made:
    """Run the guide whose root comes from ``req -x509`` and whose gateway's key was encrypted; and one more gateway."""
    _openssl(folder, f"{_ROOT_AT_ONCE} -passout pass:secret -subj /C=XX/O=Example/CN=root", days=days)
    for name, common_name in (("gateway", GATEWAY), ("other", "2222222222222222")):
        _openssl(folder, "genrsa -des3 -passout pass:secret -out {name}.locked 2048", name=name)
        _openssl(folder, "rsa -in {name}.locked -passin pass:secret -out {name}.key", name=name)
        _openssl(
            folder, "req -new -key {name}.key -out {name}.csr -subj {dn}", name=name, dn=f"/O=Example/CN={common_name}"
        )
        _openssl(folder, _ISSUE + " -passin pass:secret", days=days, name=name, root="root")
    return Made(folder, "gateway", ("other",))


def issue_again(made: Made, name: str, extensions: str, to: Path) -> Path:
    """Issue *name* again with the option that makes a v3 certificate of it, whatever version of openssl is here.

    Args:
        made: What a guide made here, whose requests and root key are still there.
        name: Whose certificate; "root" signs itself.
        extensions: Content of the file of extensions.
        to: Folder for the new certificate.

    Returns:
        Path of the new certificate.
    """
    listed, certificate = to / "extensions.cnf", to / f"{name}.pem"
    listed.write_text(extensions, encoding="ascii")
    command = _ROOT if name == "root" else _ISSUE
    more = ("-passin", "pass:secret", "-extfile", str(listed), "-out", str(certificate))  # the last -out counts
    _openssl(made.folder, f"{command} {shlex.join(more)}", days=30, name=name, root="root")
    return certificate


def makes_version_1() -> bool:
    """Return whether ``openssl x509 -req`` makes v1 certificates here: OpenSSL before 3.2."""
    found = re.match(r"OpenSSL (\d+)\.(\d+)", openssl_version())
    assert found is not None
    return (int(found[1]), int(found[2])) < (3, 2)


def _request(folder: Path, name: str, subject: str) -> None:
    _openssl(folder, "genpkey -algorithm RSA -out {name}.key", name=name)
    _openssl(folder, "req -new -key {name}.key -subj {subject} -out {name}.csr", name=name, subject=subject)


def _openssl(folder: Path, command: str, **values: object) -> None:
    openssl_version()  # skips where there is none
    run("openssl", *shlex.split(command.format(**values)), folder=folder, good=True)
