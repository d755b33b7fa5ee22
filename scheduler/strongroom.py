"""Gets secrets out of the database and seals them for the executor that asked: they are in the clear in this process only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from scheduler.core.effects import SendSecrets
from swath.domain.errors import InternalError, NotFoundError, StoreUnavailableError, UserError
from swath.domain.secret_messages import SecretsAnswer
from swath.store.secret_store import SecretStore

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Strongroom:
    """The secrets of all projects."""

    store: SecretStore
    key_file: Path | None  # None where the site keeps no secrets

    def answer(self, call: SendSecrets) -> SecretsAnswer | None:
        """What the executor is told: its secrets, sealed, or what its user has to mend. Raises StoreUnavailableError.

        None where this scheduler cannot: the executor asks again, and whoever leads next may be able to. A wrong key file
        must not fail tasks for good.
        """
        try:
            return self._seal(call)
        except StoreUnavailableError:
            raise
        except UserError as error:
            return SecretsAnswer(attempt=call.attempt, problem=str(error)[:1000])
        except InternalError as error:
            log.error("secrets_unavailable", attempt=call.attempt, reason=str(error))
            return None

    def _seal(self, call: SendSecrets) -> SecretsAnswer:
        from swath.vault.sealing import seal

        return SecretsAnswer.make(call.attempt, seal(self._read(call), call.key, call.attempt))

    def _read(self, call: SendSecrets) -> Mapping[str, str]:
        from swath.vault.keyring import Keyring

        if self.key_file is None:
            raise InternalError("the scheduler keeps no secrets: SWATH_SECRETS_KEY_FILE names no file with a key")
        keyring = Keyring(file=self.key_file)
        sealed = self.store.find(call.project, call.wanted.values())
        if missing := sorted(set(call.wanted.values()) - sealed.keys()):
            raise NotFoundError(f"the project {call.project} has no secret {', '.join(missing)} any more")
        return {
            setting: keyring.unseal(call.project, secret, sealed[secret]) for setting, secret in call.wanted.items()
        }
