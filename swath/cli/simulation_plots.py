"""Pictures of simulated schedules, side by side: one SVG, PNG or PDF, or an HTML page that needs nothing else."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swath.cli.simulation_report import Outcome
from swath.domain.errors import ConflictError, InvalidInputError, NotFoundError
from swath.simulation.history import Floats
from swath.simulation.timeline import Timeline
from swath.simulation.waits import first_waits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

SUFFIXES = (".html", ".svg", ".png", ".pdf")
MOST_PROJECTS = 9  # with a colour of their own; the others share grey
# Okabe and Ito's palette, which most colour-blind people can tell apart, and two more.
COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#8C6D31", "#6A51A3"),
    "#B0B0B0",
)
POLICY_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6A51A3", "#8C6D31")
_UNITS = ((120, 1, "s"), (2 * 3600, 60, "min"), (4 * 86_400, 3600, "h"))


def check(path: Path) -> None:
    """Raise a UserError where the picture could not be made."""
    if path.suffix not in SUFFIXES:
        raise InvalidInputError.at("--plot", f"must end in one of {', '.join(SUFFIXES)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise ConflictError("--plot needs matplotlib: pip install 'swath[plots]'")
    if not path.absolute().parent.is_dir():
        raise NotFoundError(f"there is no directory {path.parent}")


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the picture."""
    figure = make_figure(outcomes)
    if path.suffix == ".html":
        path.write_text(_to_page(outcomes, figure), encoding="utf-8")
    else:
        figure.savefig(path, dpi=150)


def make_figure(outcomes: Sequence[Outcome]) -> Figure:
    """A column a policy: what is used and what waits; below, all policies together: waits, fairness, shares."""
    from matplotlib.figure import Figure

    count = len(outcomes)
    figure = Figure(figsize=(max(11.0, 5.0 * count), 11.5), layout="constrained")
    first = outcomes[0].history
    figure.suptitle(
        f"{first.trace.name}: {len(first.trace.jobs):,} jobs, {first.trace.tasks:,} tasks on {first.cluster.name}",
        fontsize=12,
    )
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.35, 1.0))
    top, bottom = parts
    _draw_over_time(top, outcomes)
    axes = bottom.subplots(1, 3)
    _draw_waits(axes[0], outcomes)
    _draw_fairness(axes[1], outcomes)
    _draw_shares(axes[2], outcomes)
    return figure


def _draw_over_time(figure: FigureBase, outcomes: Sequence[Outcome]) -> None:
    """Two rows of areas stacked by project, all with the same axes."""
    axes = figure.subplots(2, len(outcomes), sharex=True, sharey="row", squeeze=False)
    resource = _find_scarce(outcomes)
    groups = _group(outcomes[0].timeline)
    size, _ = _choose_unit(outcomes)
    for column, outcome in enumerate(outcomes):
        line = outcome.timeline
        row = line.resources.index(resource) if resource in line.resources else 0
        used = line.used[:, row] if line.resources else np.zeros_like(line.running)
        _stack(axes[0][column], line, 100 * used, groups, size)
        axes[0][column].axhline(100, color="black", linewidth=0.8, linestyle=":")
        axes[0][column].set_title(f"policy {outcome.figures.policy}", fontsize=11, fontweight="bold")
        _stack(axes[1][column], line, line.waiting, groups, size)
        _label_time(axes[1][column], outcomes)
    axes[0][0].set_ylabel(f"{resource} in use (% of the cluster)")
    axes[0][0].set_ylim(0, 105)
    axes[1][0].set_ylabel("tasks that wait")
    axes[1][0].set_ylim(bottom=0)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", title="project", frameon=False)


Groups = list[tuple[str, list[int]]]


def _group(line: Timeline) -> Groups:
    """(name, rows): the projects that hold most have a colour each, the others one together."""
    order = np.argsort(-line.shares.mean(axis=1), kind="stable").tolist()
    groups: Groups = [(line.projects[row], [row]) for row in order[:MOST_PROJECTS]]
    if len(order) > MOST_PROJECTS:
        groups.append((f"{len(order) - MOST_PROJECTS} others", order[MOST_PROJECTS:]))
    return groups


def _stack(axes: Axes, line: Timeline, amounts: Floats, groups: Groups, size: float) -> None:
    steps = [np.append(amounts[rows].sum(axis=0), amounts[rows, -1:].sum(axis=0)) for _, rows in groups]
    axes.stackplot(
        line.edges / size,
        *steps,
        labels=[name for name, _ in groups],
        colors=_colours(groups),
        step="post",
        linewidth=0,
    )
    axes.margins(x=0)
    _tidy(axes)


def _colours(groups: Groups) -> list[str]:
    return [COLOURS[-1] if len(rows) > 1 else COLOURS[number] for number, (_, rows) in enumerate(groups)]


def _find_scarce(outcomes: Sequence[Outcome]) -> str:
    """The resource that is used most."""
    used = outcomes[0].figures.utilisation
    return max(used, key=lambda name: used[name], default="nothing")


def _draw_waits(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """How many tasks have waited no longer than so long."""
    longest = 0.0
    for colour, outcome in zip(_cycle(len(outcomes)), outcomes, strict=True):
        waits = np.sort(first_waits(outcome.history))
        longest = max(longest, float(waits[-1]) if len(waits) else 0.0)
        part = 100 * np.arange(1, len(waits) + 1) / max(1, outcome.history.trace.tasks)
        axes.step(np.append(0.0, waits), np.append(0.0, part), where="post", color=colour, label=outcome.figures.policy)
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_xlim(0, max(2.0, longest * 1.1))
    _mark_durations(axes, longest)
    axes.set_ylim(0, 101)
    axes.set_xlabel("wait from submission to first launch")
    axes.set_ylabel("tasks launched by then (%)")
    axes.set_title("Waits", fontsize=11)
    axes.legend(frameon=False, loc="lower right")
    _tidy(axes)


_MARKS = ((0, "0"), (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (36_000, "10 h"))


def _mark_durations(axes: Axes, longest: float) -> None:
    marks = [mark for mark in _MARKS if mark[0] <= longest] + [(864_000, "10 d")] * (longest >= 864_000)
    axes.set_xticks([at for at, _ in marks], [name for _, name in marks])
    axes.minorticks_off()


def _draw_fairness(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    size, _ = _choose_unit(outcomes)
    for colour, outcome in zip(_cycle(len(outcomes)), outcomes, strict=True):
        line = outcome.timeline
        middle = (line.edges[:-1] + line.edges[1:]) / 2 / size
        axes.plot(middle, line.fairness, color=colour, linewidth=1.2, label=outcome.figures.policy)
    axes.set_ylim(0, 1.03)
    axes.set_ylabel("Jain's index (1 = all get their part)")
    axes.set_title("Fairness while there is something to divide", fontsize=11)
    axes.legend(frameon=False, loc="lower right")
    _label_time(axes, outcomes)
    axes.set_xlim(0, max(float(outcome.timeline.edges[-1]) for outcome in outcomes) / size)
    _tidy(axes)


def _draw_shares(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """What each project held while it had tasks waiting, a bar a policy."""
    rows = [rows[0] for _, rows in _group(outcomes[0].timeline) if len(rows) == 1]
    place, width = np.arange(len(rows)), 0.8 / len(outcomes)
    for number, (colour, outcome) in enumerate(zip(_cycle(len(outcomes)), outcomes, strict=True)):
        shares = np.array([outcome.figures.projects[row].share for row in rows])
        offset = (number - (len(outcomes) - 1) / 2) * width
        axes.bar(place + offset, 100 * np.nan_to_num(shares), width, color=colour, label=outcome.figures.policy)
    axes.set_xticks(place, [outcomes[0].timeline.projects[row] for row in rows], rotation=30, ha="right")
    axes.set_ylabel("mean dominant share (%)")
    axes.set_title("Shares of projects while their tasks wait", fontsize=11)
    axes.legend(frameon=False)
    _tidy(axes)


def _cycle(count: int) -> list[str]:
    return [POLICY_COLOURS[number % len(POLICY_COLOURS)] for number in range(count)]


def _label_time(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    _, unit = _choose_unit(outcomes)
    axes.set_xlabel(f"time since the first submission ({unit})")


def _choose_unit(outcomes: Sequence[Outcome]) -> tuple[float, str]:
    """(seconds, name) of the unit of time that suits all of them."""
    longest_s = max(float(outcome.timeline.edges[-1]) for outcome in outcomes)
    return next(((size, unit) for limit, size, unit in _UNITS if longest_s < limit), (86_400, "d"))


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#222}}
svg{{width:100%;height:auto}}table{{border-collapse:collapse;margin:1.5em 0}}
td,th{{padding:.2em .9em;text-align:right;border-bottom:1px solid #ddd}}td:first-child{{text-align:left}}</style></head>
<body><h1>{title}</h1>
{picture}
<table><tr><th></th>{heads}</tr>
{rows}
</table></body></html>
"""


def _to_page(outcomes: Sequence[Outcome], figure: Figure) -> str:
    from swath.cli.simulation_report import table_rows

    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    picture = file.getvalue()
    rows = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table_rows(outcomes))
    heads = "".join(f"<th>{escape(outcome.figures.policy)}</th>" for outcome in outcomes)
    heads += "<th>change</th>" * (len(outcomes) == 2)
    title = escape(f"Simulation of {outcomes[0].history.trace.name}")
    return _PAGE.format(title=title, picture=picture[picture.index("<svg") :], heads=heads, rows=rows)
