"""What all tables share: names of constraints, and the types that Python's types stand for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import BigInteger, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase

from swath.domain.catalogue import ImageState
from swath.domain.dependencies import Condition
from swath.domain.retries import Cause
from swath.domain.rights import TokenScope
from swath.domain.schedules import CatchUp, Outcome, Overlap
from swath.domain.states import AttemptState, Desired, JobState, TaskState
from swath.domain.wishes import AgentMode, FrameworkDesire
from swath.store.types import CleanText, StateName, UtcDateTime, make_document

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# Of a resource. What agents say is theirs to say: a shared file system of 3 PB has more MiB than 31 bits count.
Amount = Annotated[int, "of a resource"]

# SQLite numbers rows in an INTEGER only; PostgreSQL's events may outgrow 31 bits.
LongId = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """What all tables share: names of constraints, and the types that Python's types stand for."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: CleanText(),
        Amount: BigInteger(),
        datetime: UtcDateTime(),
        dict[str, Any]: make_document(),
        list[Any]: make_document(),
        AttemptState: StateName(AttemptState),
        TaskState: StateName(TaskState),
        JobState: StateName(JobState),
        Desired: StateName(Desired),
        Cause: StateName(Cause, grows=True),
        Condition: StateName(Condition),
        Overlap: StateName(Overlap),
        CatchUp: StateName(CatchUp),
        Outcome: StateName(Outcome),
        AgentMode: StateName(AgentMode),
        TokenScope: StateName(TokenScope),
        FrameworkDesire: StateName(FrameworkDesire),
        ImageState: StateName(ImageState),
    }
