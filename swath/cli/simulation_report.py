"""What simulations have come to: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from swath.cli.console import print_json, print_table, say
from swath.matching.model import Policy
from swath.matching.policies import differences
from swath.simulation.figures import Figures, Spread, make_figures
from swath.simulation.history import End, History
from swath.simulation.model import Timing
from swath.simulation.timeline import Timeline, make_timeline

MOST_PROJECTS = 12  # in the table; all are in JSON and CSV
MOST_REASONS = 5


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One policy, simulated."""

    history: History
    timeline: Timeline
    figures: Figures
    policy: Policy
    timing: Timing
    plan_s: float  # of a processor, that the matcher has thought


def make_outcome(history: History, policy: Policy, timing: Timing, *, plan_s: float) -> Outcome:
    """The history with everything that is shown of it."""
    weights = {name: project.weight for name, project in history.cluster.projects.items()}
    timeline = make_timeline(history, weights=weights)
    figures = make_figures(history, timeline)
    return Outcome(history=history, timeline=timeline, figures=figures, policy=policy, timing=timing, plan_s=plan_s)


def show(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    """On stdout."""
    if as_json:
        print_json(to_document(outcomes))
        return
    first = outcomes[0].history
    say(f"{first.trace.name}: {len(first.trace.jobs):,} jobs, {first.trace.tasks:,} tasks; {first.cluster.name}")
    names = [f">{outcome.figures.policy}" for outcome in outcomes]
    change = [">change"] if len(outcomes) == 2 else []
    print_table(("", *names, *change), table_rows(outcomes), empty="nothing was simulated")
    _show_projects(outcomes)
    _show_waiting(outcomes)


def table_rows(outcomes: Sequence[Outcome]) -> Iterator[list[str]]:
    """A row a figure: its name, a cell a policy, and the change where there are two."""
    for row in _rows(outcomes):
        if row.is_there(outcomes):
            yield [row.name, *row.shown(outcomes), *([row.compare(outcomes)] if len(outcomes) == 2 else [])]


def _show_projects(outcomes: Sequence[Outcome]) -> None:
    """Each project's wait and share under each policy, those with the most tasks first."""
    count = len(outcomes[0].figures.projects)
    if count < 2:
        return
    order = sorted(range(count), key=lambda number: -outcomes[0].figures.projects[number].tasks)[:MOST_PROJECTS]
    heads = [f">{what}, {o.figures.policy}" for o in outcomes for what in ("mean wait", "p95", "share")]
    print_table(
        ("project", ">weight", ">tasks", *heads),
        [_project_row(outcomes, number) for number in order],
        empty="no project",
    )
    if count > MOST_PROJECTS:
        say(f"and {count - MOST_PROJECTS:,} projects with fewer tasks: --json or --csv has them")
    say("share: the mean part of the cluster that the project held while it had tasks waiting (its dominant share)")


def _project_row(outcomes: Sequence[Outcome], number: int) -> tuple[Any, ...]:
    found = [outcome.figures.projects[number] for outcome in outcomes]
    cells = [
        cell
        for entry in found
        for cell in (_seconds(entry.wait_s.mean), _seconds(entry.wait_s.p95), _percent(entry.share))
    ]
    return (found[0].project, f"{found[0].weight:g}", f"{found[0].tasks:,}", *cells)


def _show_waiting(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        waiting = outcome.history.waiting
        for job, why in list(waiting.items())[:MOST_REASONS]:
            say(f"{outcome.figures.policy}: tasks of {job} did not run: {why}")
        if len(waiting) > MOST_REASONS:
            say(f"{outcome.figures.policy}: and tasks of {len(waiting) - MOST_REASONS:,} other jobs")


Number = Callable[[Outcome], float]


@dataclass(frozen=True)
class _Row:
    """One line of the comparison."""

    name: str
    number: Number
    say: Callable[[float], str]

    def shown(self, outcomes: Sequence[Outcome]) -> list[str]:
        """A cell a policy."""
        return [self.say(self.number(outcome)) for outcome in outcomes]

    def is_there(self, outcomes: Sequence[Outcome]) -> bool:
        """False where no policy has the figure."""
        return any(not math.isnan(self.number(outcome)) for outcome in outcomes)

    def compare(self, outcomes: Sequence[Outcome]) -> str:
        """How the second differs from the first."""
        before, after = (self.number(outcome) for outcome in outcomes)
        if math.isnan(before) or math.isnan(after):
            return "-"
        if before == after:
            return "="
        ratio = after / before if before else math.inf
        return f"{ratio:.2g} x" if not 0.1 < ratio < 10 else f"{100 * (ratio - 1):+.1f} %"


def _rows(outcomes: Sequence[Outcome]) -> Iterator[_Row]:
    yield _Row("tasks finished", lambda o: o.figures.finished, _count)
    yield _Row("tasks that never ran", lambda o: o.figures.never_ran or math.nan, _count)
    yield _Row("makespan", lambda o: o.figures.makespan_s, _seconds)
    yield from _spread_rows("wait", lambda o: o.figures.wait_s, _seconds)
    yield from _spread_rows("wait, interactive", lambda o: o.figures.wait_interactive_s, _seconds)
    yield from _spread_rows("wait, large tasks", lambda o: o.figures.wait_large_s, _seconds)
    yield from _spread_rows("bounded slowdown", lambda o: o.figures.slowdown, lambda value: f"{value:.2f}")
    yield from _spread_rows("job turnaround", lambda o: o.figures.turnaround_s, _seconds)
    for name in outcomes[0].figures.utilisation:
        yield _Row(f"{name} used", _getter("utilisation", name), _percent)
        yield _Row(f"{name} used while tasks wait", _getter("utilisation_waiting", name), _percent)
    yield _Row("fairness (Jain)", lambda o: o.figures.fairness, lambda value: f"{value:.3f}")
    yield _Row("preemptions", lambda o: o.figures.preemptions, _count)
    yield _Row("run in vain", lambda o: o.figures.wasted_s, _seconds)
    yield _Row("run in vain, cpu hours", lambda o: o.figures.wasted_cpu_hours, lambda value: f"{value:.2f}")
    yield _Row("plans", lambda o: o.figures.plans, _count)
    yield _Row("ms a plan", lambda o: 1000 * o.plan_s / max(1, o.figures.plans), lambda value: f"{value:.1f}")


def _spread_rows(name: str, spread: Callable[[Outcome], Spread], say_it: Callable[[float], str]) -> Iterator[_Row]:
    yield _Row(f"{name}: mean", lambda o: spread(o).mean, say_it)
    yield _Row(f"{name}: median", lambda o: spread(o).median, say_it)
    yield _Row(f"{name}: 95 %", lambda o: spread(o).p95, say_it)
    yield _Row(f"{name}: largest", lambda o: spread(o).largest, say_it)


def _getter(group: str, name: str) -> Number:
    return lambda outcome: float(getattr(outcome.figures, group)[name])


def _seconds(value: float) -> str:
    """A duration with a digit behind the point: policies may differ by less than a minute."""
    if math.isnan(value):
        return "-"
    for limit, size, unit in ((100, 1, "s"), (6000, 60, "min"), (360_000, 3600, "h")):
        if value < limit:
            return f"{value / size:.1f} {unit}"
    return f"{value / 86_400:.1f} d"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def to_document(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything but the attempts."""
    first = outcomes[0]
    trace, cluster = first.history.trace, first.history.cluster
    return {
        "trace": {"name": trace.name, "jobs": len(trace.jobs), "tasks": trace.tasks, "notes": list(trace.notes)},
        "cluster": {"name": cluster.name, "agents": len(cluster.agents), "capacity": cluster.capacity},
        "timing": asdict(first.timing),
        "policies": [_to_policy(outcome) for outcome in outcomes],
    }


def _to_policy(outcome: Outcome) -> dict[str, Any]:
    line = outcome.timeline
    timeline = {
        "edges_s": line.edges.tolist(),
        "waiting": dict(zip(line.projects, line.waiting.tolist(), strict=True)),
        "running": dict(zip(line.projects, line.running.tolist(), strict=True)),
        "shares": dict(zip(line.projects, line.shares.tolist(), strict=True)),
        "fairness": line.fairness.tolist(),
    }
    figures = {
        **asdict(outcome.figures),
        "differs": differences(outcome.policy),
        "plan_s": outcome.plan_s,
        "waiting": dict(outcome.history.waiting),
        "timeline": timeline,
    }
    return dict(_without_nan(figures))


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: what is not there is null."""
    if isinstance(value, Mapping):
        return {name: _without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_csv(outcomes: Sequence[Outcome], directory: Path) -> None:
    """summary.csv, projects.csv, timeline.csv and attempts.csv."""
    directory.mkdir(parents=True, exist_ok=True)
    tables: dict[str, Iterable[Mapping[str, Any]]] = {
        "summary": map(_summary, outcomes),
        "projects": (row for outcome in outcomes for row in _projects(outcome)),
        "timeline": (row for outcome in outcomes for row in _spans(outcome)),
        "attempts": (row for outcome in outcomes for row in _attempts(outcome)),
    }
    for name, rows in tables.items():
        _write(directory / f"{name}.csv", rows)
    say(f"written: {', '.join(f'{name}.csv' for name in tables)} in {directory}")


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer: csv.DictWriter[str] | None = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
            writer.writerow({name: "" if value is None else value for name, value in _without_nan(row).items()})


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Spreads and mappings as columns of their own."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}_{key}": entry for key, entry in value.items()}
        else:
            flat[name] = value
    return flat


def _summary(outcome: Outcome) -> dict[str, Any]:
    figures = asdict(outcome.figures)
    del figures["projects"]
    return {**_flat(figures), "plan_s": outcome.plan_s}


def _projects(outcome: Outcome) -> Iterator[dict[str, Any]]:
    for project in outcome.figures.projects:
        yield {"policy": outcome.figures.policy, **_flat(asdict(project))}


def _spans(outcome: Outcome) -> Iterator[dict[str, Any]]:
    line, fairness = outcome.timeline, outcome.timeline.fairness
    for span in range(len(line.edges) - 1):
        for number, project in enumerate(line.projects):
            yield {
                "policy": outcome.figures.policy,
                "from_s": float(line.edges[span]),
                "until_s": float(line.edges[span + 1]),
                "project": project,
                "running": float(line.running[number, span]),
                "waiting": float(line.waiting[number, span]),
                **{f"used_{name}": float(line.used[number, row, span]) for row, name in enumerate(line.resources)},
                "fairness": float(fairness[span]),
            }


def _attempts(outcome: Outcome) -> Iterator[dict[str, Any]]:
    table, trace, cluster = outcome.history.attempts, outcome.history.trace, outcome.history.cluster
    for row in np.arange(len(table)):
        job = trace.jobs[table.job[row]]
        yield {
            "policy": outcome.figures.policy,
            "job": job.id,
            "task": int(table.task[row]),
            "project": job.project,
            "user": job.user,
            "agent": cluster.agents[table.agent[row]].id,
            "submitted_s": job.submitted_s,
            "launched_s": float(table.launched[row]),
            "started_s": float(table.started[row]),
            "ended_s": float(table.ended[row]),
            "end": End(table.end[row]).name,
        }
