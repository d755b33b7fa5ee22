"""Certificates for a real TLS server on loopback, made by openssl: good ones, and each kind of bad one."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from swath.wire.endpoints import TlsOptions
from tests.fixtures.machine import skip_or_fail

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of one certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("openssl"):
            skip_or_fail("openssl is absent: apt-get install openssl")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.pair = Pair(folder / "ca.pem", folder / "ca.key")
        files = ("-out", self.pair.certificate, "-keyout", self.pair.key)
        _openssl("req", "-x509", *_KEY, "-days", "2", "-subj", "/CN=an authority", *files)

    def sign(self, name: str, *, alternative: str = "IP:127.0.0.1", days: int = 2) -> Pair:
        """A certificate for `name`, good for `alternative`; with negative days it has expired."""
        pair, request, more = (
            Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key"),
            self.folder / f"{name}.csr",
            self.folder / f"{name}.ext",
        )
        more.write_text(f"subjectAltName={alternative}\n")
        _openssl("req", *_KEY, "-subj", f"/CN={name}", "-out", request, "-keyout", pair.key)
        signer = ("-CA", self.pair.certificate, "-CAkey", self.pair.key, "-CAcreateserial")
        until = ("-days", str(days), "-extfile", more)
        _openssl("x509", "-req", "-in", request, *signer, *until, "-out", pair.certificate)
        return pair

    def serve(self, pair: Pair, *, demands_certificate: bool = False) -> ssl.SSLContext:
        """A server's context with that certificate; the demanding one trusts nobody but those whom this authority signed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        if demands_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.pair.certificate)
        return context

    def options(self, pair: Pair | None = None, **more: bool) -> TlsOptions:
        """What a client says that trusts this authority, and shows `pair`."""
        own = {"cert_file": str(pair.certificate), "key_file": str(pair.key)} if pair else {}
        return TlsOptions(ca_file=str(self.pair.certificate), **own, **more)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
