"""Save and restore the database: `python -m swath.store.backup save|restore FILE [--url URL]`. See docs/backup.md."""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, func, inspect, select, update

from swath.domain.errors import InternalError, NotFoundError, SwathError
from swath.store.database import Database, normalise
from swath.store.models import Leadership


def save(url: str, target: Path) -> None:
    """Write the database as of one moment into the file `target`, while it is in use; an older file is replaced at the end.

    SQLite by its online backup, checked afterwards; PostgreSQL by pg_dump in its custom format. Raises NotFoundError when there
    is no database, InternalError when the copy cannot be made or is broken.
    """
    parsed = normalise(url)
    partial = target.with_name(target.name + ".partial")
    try:
        if parsed.get_backend_name() == "postgresql":
            _run(parsed, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={partial}")
        else:
            _copy_sqlite(_path_of(parsed, must_exist=True), partial)
        _sync(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def restore(url: str, source: Path) -> None:
    """Replace the database's content by that of `source`, in one transaction. Stop api and scheduler first.

    The leadership's epoch is set above every one that was given out, so that a scheduler which was left running can write no
    more. Raises NotFoundError for a missing file, InternalError when the file is broken or does not fit; then nothing changed.
    """
    if not source.is_file():
        raise NotFoundError(f"there is no file {source}")
    parsed = normalise(url)
    epoch = _read_epoch(url)
    if parsed.get_backend_name() == "postgresql":
        _run(parsed, "pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction", str(source))
        _fence(url, epoch)
    else:
        _restore_sqlite(source, _path_of(parsed, must_exist=False), epoch)


def _copy_sqlite(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise InternalError(f"{source} cannot be copied: {error}") from error
    if verdict != "ok":
        raise InternalError(f"the copy of {source} is broken: {verdict}")


def _restore_sqlite(source: Path, target: Path, epoch: int) -> None:
    """Prepare the content beside the target, and put it in place last and at once."""
    prepared = target.with_name(target.name + ".partial")
    try:
        _copy_sqlite(source, prepared)
        _fence(f"sqlite:///{prepared}", epoch)
        with closing(sqlite3.connect(prepared)) as content, closing(sqlite3.connect(target, timeout=10)) as live:
            live.execute("PRAGMA journal_mode = WAL")
            live.execute("PRAGMA synchronous = FULL")
            content.backup(live)
    except sqlite3.Error as error:
        raise InternalError(f"{target} cannot be replaced: {error}") from error
    finally:
        for beside in ("", "-wal", "-shm"):
            prepared.with_name(prepared.name + beside).unlink(missing_ok=True)


def _read_epoch(url: str) -> int:
    """The newest epoch of the database as it is now; 0 for an empty one."""
    database = Database(url)
    try:
        with database.read() as session:
            if not inspect(session.connection()).has_table(Leadership.__tablename__):
                return 0
            return session.scalar(select(func.max(Leadership.epoch))) or 0
    finally:
        database.close()


def _fence(url: str, epoch: int) -> None:
    """Nobody leads, and the next epoch is above `epoch` and above the restored one."""
    database = Database(url)
    try:
        with database.write() as session:
            newest = max(epoch, session.scalar(select(func.max(Leadership.epoch))) or 0)
            session.execute(update(Leadership).values(holder=None, epoch=newest + 1))
    finally:
        database.close()


def _path_of(url: URL, *, must_exist: bool) -> Path:
    path = Path(url.database or "")
    if must_exist and not path.is_file():
        raise NotFoundError(f"there is no database {path}")
    return path


def _run(url: URL, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's client programs; the password travels in the environment, where `ps` does not show it."""
    found = shutil.which(program)
    if found is None:
        raise InternalError(f"{program} is missing (Debian: apt-get install postgresql-client)")
    where = url.set(drivername="postgresql", password=None).render_as_string()
    secret = {"PGPASSWORD": str(url.password)} if url.password else {}
    done = subprocess.run(
        [found, f"--dbname={where}", *arguments],
        env={**os.environ, **secret},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise InternalError(f"{program} failed: {done.stderr.strip()}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; ends with status 1 and one line when it fails."""
    parser = argparse.ArgumentParser(prog="python -m swath.store.backup", description="Save or restore the database.")
    parser.add_argument("action", choices=["save", "restore"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default=os.environ.get("SWATH_DATABASE_URL"), help="default: $SWATH_DATABASE_URL")
    given = parser.parse_args(arguments)
    if given.url is None:
        parser.error("say which database: --url or $SWATH_DATABASE_URL")
    try:
        (save if given.action == "save" else restore)(given.url, given.file)
    except SwathError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
