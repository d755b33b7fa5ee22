"""Attempts that run a script of Python, and scripts that leave processes behind."""

from __future__ import annotations

from typing import Any

from swath.domain.attempts import ImageSource
from tests.executor.agent import Agent, Update, wait_until
from tests.executor.build import a_manifest, a_spec


def a_script(agent: Agent, name: str, text: str) -> ImageSource:
    """An image whose build context holds `run.py`."""
    context = agent.directory / "contexts" / name
    context.mkdir(parents=True, exist_ok=True)
    (context / "run.py").write_text(text)
    return ImageSource(name=name, version="1.0.0", context=str(context))


def a_run(agent: Agent, name: str, text: str, *, fields: dict[str, Any] | None = None, **manifest: Any) -> Any:
    """An attempt that runs a script."""
    image = a_script(agent, name, text)
    return a_spec(a_manifest("python run.py", **manifest), agent.outputs, image=image, **(fields or {}))


FORKS = """
import os, sys, time
def note(name):
    os.write(1, f"{name} {os.getpid()}\\n".encode())
if os.fork() == 0:            # a plain child
    note("child"); time.sleep(600)
if os.fork() == 0:            # a daemon: forks twice, in a session of its own
    os.setsid()
    if os.fork() == 0:
        note("daemon"); time.sleep(600)
    os._exit(0)
if os.fork() == 0:            # the same with an empty environment
    os.setsid()
    if os.fork() == 0:
        note("bare")
        os.execve("/bin/sleep", ["sleep", "600"], {})
    os._exit(0)
"""
STAY = FORKS + "\nimport signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)\n"
BRIEF = FORKS + "\nwhile open(os.environ['HOME'] + '/stdout').read().count('\\n') < 3: time.sleep(0.01)\n"


def read_pids(agent: Agent, update: Update) -> dict[str, int]:
    """What a script that forks has noted, once it has forked three times."""
    wait_until(lambda: agent.log(update).count("\n") == 3, "the command has forked")
    return {name: int(pid) for name, pid in (line.split() for line in agent.log(update).splitlines())}
