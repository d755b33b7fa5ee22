"""Secrets at rest: sealed by keys that stand in a file, and never in the database."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from swath.domain.errors import InternalError


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyring:
    """The keys of a file, one a line: the first seals, all of them open. It is read at each use: a new key counts at once."""

    file: Path

    def seal(self, project: str, name: str, value: str) -> str:
        """What may lie in a database. Raises InternalError where the file is missing, open to others or holds no keys."""
        # With its place inside: whoever writes in the database cannot put one project's secret in another's place.
        return self._read().encrypt(json.dumps([project, name, value]).encode()).decode()

    def unseal(self, project: str, name: str, sealed: str) -> str:
        """The secret; raises InternalError for what was not sealed for this place by one of the keys."""
        try:
            found = json.loads(self._read().decrypt(sealed.encode()))
        except InvalidToken:
            raise InternalError(
                f"the secret {name} of {project} was sealed by none of the keys in {self.file}"
            ) from None
        if found[:2] != [project, name]:
            raise InternalError(
                f"what lies in the place of the secret {name} of {project} was sealed for another place"
            )
        return str(found[2])

    def reseal(self, sealed: str) -> str:
        """The same, sealed by the first key."""
        try:
            return self._read().rotate(sealed).decode()
        except InvalidToken:
            raise InternalError(f"a secret was sealed by none of the keys in {self.file}: put its key back") from None

    def _read(self) -> MultiFernet:
        try:
            mode = stat.S_IMODE(self.file.stat().st_mode)
            lines = self.file.read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            raise InternalError(f"the key file {self.file} cannot be read: {error}") from error
        if mode & 0o077:
            raise InternalError(f"the key file {self.file} is open to others (mode {mode:04o}): chmod 600 it")
        return MultiFernet(list(self._to_keys(lines)))

    def _to_keys(self, lines: Iterable[str]) -> Iterable[Fernet]:
        keys = []
        for number, line in enumerate(lines, start=1):
            try:
                keys.append(Fernet(line))
            except ValueError:
                raise InternalError(
                    f"line {number} of {self.file} is no key: `swath secrets new-key` makes one"
                ) from None
        if not keys:
            raise InternalError(f"the key file {self.file} is empty: `swath secrets new-key` makes a key")
        return keys
