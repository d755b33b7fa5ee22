"""How tests fetch inputs, in few words."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from executor.fetching.cache import Cache, Lease
from executor.fetching.inputs import Fetcher, Progress
from executor.fetching.limits import Limits
from executor.fetching.policy import Policy
from executor.staging import StartError
from swath.domain.checksums import Checksum

HERE = Policy(schemes=frozenset({"http"}), private=(ip_network("127.0.0.0/8"),))


def a_fetcher(root: Path, *, policy: Policy = HERE, **limits: int) -> Fetcher:
    given = Limits(**limits)
    return Fetcher(policy=policy, limits=given, cache=Cache(root, given.cache), stores=None)


def fetched(fetcher: Fetcher, url: str, checksum: Checksum | None = None) -> tuple[Path, Lease]:
    return fetcher.fetch("SCENE", url, checksum, begun(fetcher))


def begun(fetcher: Fetcher) -> Progress:
    return fetcher.begin(cancelled=lambda: False, tell=lambda message: None)


def refused(fetcher: Fetcher, url: str, checksum: Checksum | None = None) -> StartError:
    with pytest.raises(StartError) as caught:
        fetched(fetcher, url, checksum)
    return caught.value
