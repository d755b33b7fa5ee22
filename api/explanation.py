"""Why a job waits and when it may start, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from api.picture import Picture
from api.views import to_time
from swath.matching.cluster import Cluster, Columns
from swath.matching.explain import break_down, explain
from swath.matching.fairness import Tree
from swath.matching.forecast import Start
from swath.matching.limits import Limits
from swath.matching.model import Demand

Document = dict[str, Any]
_DIGITS = 4  # of a share


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """What can be said of waiting tasks."""

    reason: str | None  # the sentence; None where nothing waits
    document: Document


def explain_demand(picture: Picture, demand: Demand | None, starts: Mapping[str, Start]) -> Explanation:
    """Why `demand` waits in the picture, in which it stands among the others; None for a job of which nothing could start."""
    if demand is None:
        nothing = dict.fromkeys(("project", "position", "estimate"))
        return Explanation(
            reason=None, document={"waiting": 0, "blockers": [], "limits": [], "unforeseen": 0, **nothing}
        )
    cluster = Cluster(picture.agents, Columns(other.resources for other in picture.waiting))
    limits = Limits(picture.tenants)
    return Explanation(
        reason=str(limits.reason(demand) or explain(cluster, demand)),
        document={
            "waiting": sum(one.count for one in picture.demands.get(demand.job, (demand,))),
            "blockers": [{"agents": one.agents, "why": one.words} for one in break_down(cluster, demand)],
            "limits": [str(standing) for standing in limits.standings(demand)],
            "project": _to_project(picture, cluster, demand),
            "position": _to_position(picture, demand, starts),
            "estimate": _to_estimate(picture, starts.get(demand.job)),
            "unforeseen": len(picture.unforeseen),
        },
    )


def _to_project(picture: Picture, cluster: Cluster, demand: Demand) -> Document:
    """What the demand's project holds beside what it is due."""
    total = cluster.total.sum(axis=1).tolist()
    tree = Tree(picture.tenants, total, cluster.columns.to_tuple, picture.waiting, picture.told.policy)
    share = tree.share(tree.leaf(demand.project))
    return {
        "name": demand.project,
        "share": round(share, _DIGITS),
        "fair_share": round(tree.due(demand.project), _DIGITS),
    }


def _to_position(picture: Picture, demand: Demand, starts: Mapping[str, Start]) -> Document:
    """The job's place among those that wait, by when the first task of each is expected to start."""
    others = {other.job for other in picture.waiting}
    mine = starts.get(demand.job)
    sooner = [job for job, start in starts.items() if mine is None or start.first_s < mine.first_s]
    return {"place": len(set(sooner) & others) + 1, "of": len(others)}


def _to_estimate(picture: Picture, start: Start | None) -> Document | None:
    """When the first and the last waiting task start; None where no start is in sight."""
    if start is None:
        return None
    last = None if start.last_s is None else to_time(picture.at + timedelta(seconds=start.last_s))
    return {
        "first_start": to_time(picture.at + timedelta(seconds=start.first_s)),
        "first_start_s": round(start.first_s, 1),
        "last_start": last,
        "last_start_s": None if start.last_s is None else round(start.last_s, 1),
    }
