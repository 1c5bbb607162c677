"""A certificate authority and a server certificate for 127.0.0.1, made once per folder."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files."""

    authority: Path
    server: Path
    key: Path


def certificates(folder: Path) -> Certificates:
    """Those of the folder, made where there are none yet. The authority's key is not kept."""
    certificates = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server-key.pem")
    # Written last: where it is, all are.
    if not certificates.server.exists():
        _make(certificates)
    return certificates


def _make(files: Certificates) -> None:
    authority = trustme.CA(organization_name="sandbox")
    made = authority.issue_cert("127.0.0.1", "localhost")
    files.authority.write_bytes(authority.cert_pem.bytes())
    files.key.touch(mode=0o600)
    files.key.write_bytes(made.private_key_pem.bytes())
    files.server.write_bytes(made.cert_chain_pems[0].bytes())
