"""Where the laptop cluster keeps its things: one directory, ./var unless SWATH_VAR names another.

Only the standard library is imported: see processes.py.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.cli.processes import ProcessRef, is_alive

PRINCIPAL = "swath"


class VarLockedError(Exception):
    """Another `swath up` supervises a cluster in the same directory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Var:
    """The directory of one laptop cluster."""

    root: Path  # absolute

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Var:
        """$SWATH_VAR, else ./var."""
        return cls(root=Path(environ.get("SWATH_VAR") or "var").expanduser().absolute())

    @property
    def cluster_file(self) -> Path:
        """Who runs and where: written by the supervisor, read by every other command."""
        return self.root / "cluster.json"

    @property
    def token_file(self) -> Path:
        """The bearer token of the api."""
        return self.root / "token"

    @property
    def credential_file(self) -> Path:
        """The principal and secret that `local` asks for, in Mesos' form."""
        return self.root / "credential"

    @property
    def secrets_key_file(self) -> Path:
        """What opens the secrets in the database."""
        return self.root / "secrets.key"

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.root / "swath.db"

    @property
    def outputs(self) -> Path:
        """Official outputs: <job>/<task>/<attempt>/."""
        return self.root / "outputs"

    @property
    def local(self) -> Path:
        """The work directory of `local`: checkpoints and sandboxes."""
        return self.root / "local"

    @property
    def logs(self) -> Path:
        """One file a program."""
        return self.root / "log"

    @property
    def lock_file(self) -> Path:
        """Held by the supervisor for as long as it lives; the system lets go of it even after kill -9."""
        return self.root / "up.lock"

    @property
    def plan_file(self) -> Path:
        """What the supervisor was told to run."""
        return self.root / "plan.json"

    def make(self) -> None:
        """Make the directories, closed to others, and a token and a credential where there are none."""
        for directory in (self.root, self.outputs, self.local, self.logs):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        if not self.token_file.exists() or not self.token_file.read_text().strip():
            write_private(self.token_file, secrets.token_urlsafe(32) + "\n")
        self.token_file.chmod(0o600)
        if not self.secrets_key_file.exists():
            write_private(self.secrets_key_file, base64.urlsafe_b64encode(os.urandom(32)).decode() + "\n")
        if self.read_credential() is None:
            credential = {"principal": PRINCIPAL, "secret": secrets.token_urlsafe(32)}
            write_private(self.credential_file, json.dumps(credential) + "\n")
        self.credential_file.chmod(0o600)

    def read_credential(self) -> tuple[str, str] | None:
        """The principal and the secret; None where there is no file or it is damaged."""
        try:
            document = json.loads(self.credential_file.read_text())
            found = str(document["principal"]), str(document["secret"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if all(found) else None

    def read_cluster(self) -> dict[str, Any]:
        """cluster.json, or nothing where there is none or it is damaged."""
        try:
            document = json.loads(self.cluster_file.read_text())
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def write_cluster(self, document: Mapping[str, Any]) -> None:
        """Replace cluster.json in one step: readers see the old one or the new one."""
        write_private(self.cluster_file, json.dumps(document, indent=2) + "\n")

    def find_supervisor(self) -> ProcessRef | None:
        """The `swath up` that runs here now."""
        found = ProcessRef.from_document(self.read_cluster().get("supervisor"))
        return found if is_alive(found) else None

    def find_programs(self) -> dict[str, ProcessRef]:
        """The programs of this cluster that run now, by name."""
        pids = self.read_cluster().get("pids")
        refs = {name: ProcessRef.from_document(ref) for name, ref in pids.items()} if isinstance(pids, dict) else {}
        return {name: ref for name, ref in refs.items() if ref is not None and is_alive(ref)}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for one supervisor; raises VarLockedError where another has it."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.lock_file.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise VarLockedError(self._describe_holder()) from None
            yield

    def _describe_holder(self) -> str:
        """Who has the directory, and what to do about it."""
        holder = self.find_supervisor()
        who = f"pid {holder.pid}" if holder else "it is just starting or stopping"
        return f"a Swath cluster runs in {self.root} already ({who}); `swath down` ends it, SWATH_VAR=DIR uses another"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
