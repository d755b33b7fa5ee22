"""Secrets as the service handles them: it takes them in, and gives none of them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.views import to_time
from swath.domain.errors import ConflictError, Problem
from swath.domain.manifest import Manifest
from swath.store.secret_store import SecretRow, SecretStore

if TYPE_CHECKING:
    from swath.vault.keyring import Keyring


@dataclass(frozen=True, kw_only=True, slots=True)
class Secrets:
    """Every method that seals raises ConflictError where this site has no key."""

    store: SecretStore
    key_file: Path | None  # None where the site keeps no secrets
    now: Callable[[], datetime]

    def put(self, project: str, name: str, value: str, *, user: str) -> dict[str, Any]:
        """Keep a secret; what is answered says that it is there, and no more."""
        row = SecretRow(project=project, name=name, user=user, at=self.now())
        self.store.put(row, self._keyring().seal(project, name, value))
        return to_secret(row)

    def rotate(self) -> int:
        """Seal all secrets anew by the first key; how many there are."""
        return self.store.reseal(self._keyring().reseal)

    def check(
        self, manifest: Manifest, project: str, plain: Mapping[str, Any], secrets: Mapping[str, str]
    ) -> Iterable[Problem]:
        """What is wrong with the secrets that a job of `project` takes: see swath.domain.secrets."""
        declared = {entry.name for entry in manifest.job.interface.settings if entry.secret}
        for name in sorted(declared & plain.keys()):
            yield Problem(
                f"/settings/{name}",
                f"is a secret, and a job's document is none: `swath secrets set {name}`, and leave it out; "
                'another one is named {"secret": "NAME"}',
            )
        if not secrets:
            return
        known = self.store.find(project, secrets.values())
        for name, secret in sorted(secrets.items()):
            if secret not in known:
                hint = f"`swath secrets set {secret} --project {project}` keeps one"
                yield Problem(f"/settings/{name}", f"the project {project} has no secret {secret}: {hint}")

    def _keyring(self) -> Keyring:
        if self.key_file is None:
            raise ConflictError("this site keeps no secrets: SWATH_SECRETS_KEY_FILE names no file with a key")
        from swath.vault.keyring import Keyring

        return Keyring(file=self.key_file)


def to_secret(row: SecretRow) -> dict[str, Any]:
    """That there is a secret."""
    return {"project": row.project, "name": row.name, "changed_by": row.user, "changed_at": to_time(row.at)}
