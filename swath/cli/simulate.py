"""`swath simulate`: what a policy would make of a workload, faster than real time; several policies side by side."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from swath.cli.console import err, say, shown
from swath.cli.options import AsJson
from swath.domain.errors import ConflictError

if TYPE_CHECKING:
    from swath.cli.simulation_report import Outcome
    from swath.matching.model import Plan, Policy
    from swath.simulation.books import Books
    from swath.simulation.engine import Planner
    from swath.simulation.engine import Progress as OnProgress
    from swath.simulation.model import Cluster, Timing, Trace

TRY = "jobs=200,tasks=20,projects=4,hours=1,interactive=0.1,large=0.08"

Workload = "Workload"
ClusterPanel = "Cluster"
PolicyPanel = "Policies"
TimingPanel = "Timing"
OutputPanel = "Output"


def add_commands(app: typer.Typer) -> None:
    """Add `simulate`."""
    app.command(rich_help_panel="Cluster and images")(simulate)


def simulate(
    trace: Annotated[
        Path | None,
        typer.Argument(help="A trace: `swath trace export`, or the Standard Workload Format; gzip or not."),
    ] = None,
    synthetic: Annotated[
        str | None,
        typer.Option(help=f"Invent a workload: {TRY}.", metavar="NAME=NUMBER,...", rich_help_panel=Workload),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the invented workload.", min=0, rich_help_panel=Workload)] = 1,
    jobs: Annotated[
        int | None, typer.Option(help="Take the first so many jobs of the trace.", min=1, rich_help_panel=Workload)
    ] = None,
    swf_project: Annotated[
        str, typer.Option(help="SWF: project = user, group, queue or partition.", rich_help_panel=Workload)
    ] = "group",
    swf_cpus: Annotated[
        float | None,
        typer.Option(help="SWF: cpus of one task at most (default: an agent's).", min=0.001, rich_help_panel=Workload),
    ] = None,
    swf_memory: Annotated[
        int, typer.Option(help="SWF: MiB a processor where the log has none.", min=0, rich_help_panel=Workload)
    ] = 0,
    agents: Annotated[
        list[str] | None,
        typer.Option(
            help="Agents, such as 50x16cpus,64GiB,gpus=1,zone=b; several times.", rich_help_panel=ClusterPanel
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="A description in JSON or TOML, or `current`.", rich_help_panel=ClusterPanel),
    ] = None,
    weight: Annotated[
        list[str] | None, typer.Option(help="PROJECT=WEIGHT, several times.", rich_help_panel=ClusterPanel)
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="fair, fifo, either with changes (fair,past_weight=0), or a file; several are compared.",
            rich_help_panel=PolicyPanel,
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="FIELD=VALUE, a change of all policies; several times.", rich_help_panel=PolicyPanel
        ),
    ] = None,
    cycle: Annotated[
        str | None,
        typer.Option(help="Between two plans (default: a 200th of a run, 1 to 30 s).", rich_help_panel=TimingPanel),
    ] = None,
    launch: Annotated[str, typer.Option(help="From a launch to the task's start.", rich_help_panel=TimingPanel)] = "0",
    pull: Annotated[
        str, typer.Option(help="More, where an agent has not run the image.", rich_help_panel=TimingPanel)
    ] = "0",
    grace: Annotated[str, typer.Option(help="Of attempts that are preempted.", rich_help_panel=TimingPanel)] = "10",
    until: Annotated[
        str | None, typer.Option(help="End after so much of the trace.", rich_help_panel=TimingPanel)
    ] = None,
    as_json: AsJson = False,
    csv: Annotated[
        Path | None, typer.Option(help="Write tables into this directory.", rich_help_panel=OutputPanel)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw: .html, .svg, .png or .pdf (needs swath\\[plots]).", rich_help_panel=OutputPanel),
    ] = None,
) -> None:
    """Say what policies would make of a workload: waits, utilisation, fairness, preemptions. Nothing is run.

    \b
      swath simulate
      swath simulate --synthetic jobs=1000,interactive=0.2 --agents 50x16cpus,64GiB --policy fair --policy fifo
      swath trace export > mine.jsonl; swath simulate mine.jsonl --cluster current --plot mine.html
      swath simulate CTC-SP2.swf.gz --policy fair --policy fair,preempt_for_share=no
    """
    _check_numpy()
    from swath.cli import simulation_inputs as inputs
    from swath.cli import simulation_report as report

    if plot is not None:
        _check_plots(plot)
    if csv is not None:
        csv.mkdir(parents=True, exist_ok=True)  # half an hour of simulation later it would be too late to tell
    found = inputs.read_cluster(cluster, agents or [])
    swf = inputs.Swf(project=swf_project, most_cpus=swf_cpus, memory=swf_memory)
    workload, found = inputs.read_workload(trace, synthetic, seed=seed, swf=swf, cluster=found, most_jobs=jobs)
    found = inputs.weigh(found, weight or [], workload)
    policies = inputs.read_policies(policy or ["fair", "fifo"], change or [])
    timing = inputs.make_timing(workload, cycle=cycle, launch=launch, pull=pull, grace=grace, until=until)
    for note in workload.notes:
        say(f"note: {note}")
    outcomes = _run_all(workload, found, policies, timing)
    report.show(outcomes, as_json=as_json)
    if csv is not None:
        report.write_csv(outcomes, csv)
    if plot is not None:
        _draw(outcomes, plot)


def _check_numpy() -> None:
    """Commands do without it but for this one."""
    if importlib.util.find_spec("numpy") is None:
        raise ConflictError("simulating needs numpy: pip install 'swath[matching]'")


def _check_plots(path: Path) -> None:
    """Say what is wrong with the picture before half an hour of simulation."""
    from swath.cli.simulation_plots import check

    check(path)


def _draw(outcomes: Sequence[Outcome], path: Path) -> None:
    from swath.cli.simulation_plots import draw

    draw(outcomes, path)
    say(f"drawn: {path}")


class _Watch:
    """A planner that remembers how long it has thought."""

    def __init__(self, planner: Planner) -> None:
        self.spent_s = 0.0
        self._planner = planner

    def __call__(self, books: Books, now: float) -> Plan:
        """The plan."""
        begun = time.thread_time()
        try:
            return self._planner(books, now)
        finally:
            self.spent_s += time.thread_time() - begun


def _run_all(trace: Trace, cluster: Cluster, policies: Mapping[str, Policy], timing: Timing) -> list[Outcome]:
    """Each policy in turn, with a progress bar."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tasks"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err(), transient=True) as bar:
        return [_run(bar, trace, cluster, name, policy, timing) for name, policy in policies.items()]


def _run(bar: Progress, trace: Trace, cluster: Cluster, name: str, policy: Policy, timing: Timing) -> Outcome:
    from swath.cli.simulation_report import make_outcome
    from swath.simulation.engine import simulate as run_engine
    from swath.simulation.planning import make_planner

    line = bar.add_task(shown(name), total=trace.tasks)
    watch = _Watch(make_planner(policy, cluster.projects))
    history = run_engine(
        trace,
        cluster,
        watch,
        policy=name,
        timing=timing,
        on_progress=_make_progress(bar, line, trace.tasks),
    )
    bar.update(line, completed=trace.tasks)
    return make_outcome(history, policy, timing, plan_s=watch.spent_s)


def _make_progress(bar: Progress, line: TaskID, total: int) -> OnProgress:
    """Moves the bar a thousand times at most."""
    step, shown = max(1, total // 1000), 0

    def advance(done: int, now: float) -> None:
        nonlocal shown
        if done - shown >= step:
            bar.update(line, completed=done)
            shown = done

    return advance
