"""A log after its agent has forgotten it, end to end."""

import shutil

import pytest

from tests.e2e.jobs import bolzano, ended, submitted
from tests.fixtures.laptop import eventually

pytestmark = pytest.mark.data


def test_a_log_is_read_when_no_sandbox_has_it_any_more(laptop, data_folder):
    """The same text, by the command that showed it while the agent had it."""
    job_id = submitted(laptop, [bolzano(data_folder)])
    ended(laptop, job_id)
    before = laptop.swath("logs", job_id).stdout
    assert "progress" in before
    (attempt,) = laptop.client.attempts(job_id, 0)
    assert eventually(lambda: list(laptop.var.glob(f"task-logs/*/0/{attempt['id']}/stdout")))
    for sandbox in laptop.var.rglob(f"attempts/{attempt['id']}"):
        shutil.rmtree(sandbox)
    assert laptop.swath("logs", job_id).stdout == before
    assert laptop.swath("logs", job_id, "--follow").stdout == before
