"""`barker chaos`: breaks a suite of its own again and again, and sees whether the promises are kept.

Authors bark at a steady rate, as clients that count only what was accepted, while services are killed, frozen
and restarted, and their disks fill, by a schedule that a seed reproduces. In the end everything runs again,
every timeline is read from its beginning, and compared with what was accepted. What is decided is
`core/chaos.py`.

The suite is the one that the launcher starts, but for timelines that are long enough to hold the whole run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from barker import options
from barker.amqp.engine import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, receiver_from
from barker.amqp.message import decode_map, encode_bark, message_id
from barker.amqp.outbound import Accepted, Outbound, Outcome
from barker.amqp.reactor import Reactor
from barker.bark import now
from barker.core.barks import Bark
from barker.core.chaos import KINDS, Fault, Ledger, Verdict, longest_gaps, schedule
from barker.core.errors import BarkerError, Mistake
from barker.launcher import Child, free_offset
from barker.store.users import FILE_NAME, Users
from barker.suite import Shape, plan

READERS_OF_EACH = 3
"""How many readers follow each author."""

MOST_PENDING = 500
"""An author with so many barks that are not accepted makes no more."""

TICK_SECONDS = 0.01
"""How often barks are made and faults are due."""

LOOK_SECONDS = 0.2
"""How often it is looked how far it is."""

HEAL_SECONDS = 60.0
"""When nothing has moved for so long after the last fault, the rest is lost."""

SETTLE_SECONDS = 4.0
"""So long after its end a fault is still held responsible for a gap."""

STOP_SECONDS = 10.0
"""How long a service may take to end when it is told to."""

SIGNALS = {
    "kill": signal.SIGKILL,
    "fresh": signal.SIGKILL,
    "restart": signal.SIGTERM,
    "freeze": signal.SIGSTOP,
}
"""What a service is sent when a fault begins."""

FAULTS = KINDS if sys.platform == "linux" else tuple(kind for kind in KINDS if kind != "full")
"""What can befall a service here: the disk of one process alone is full by a means that only Linux has."""


class Population:
    """Who barks and who reads: every author has some readers, and reads himself."""

    def __init__(self, authors: int, readers: int, chance: random.Random) -> None:
        self.authors = [f"author{number}" for number in range(authors)]
        self.readers = [f"reader{number}" for number in range(readers)]
        count = min(READERS_OF_EACH, readers)
        self.follows = [
            (reader, author) for author in self.authors for reader in chance.sample(self.readers, count)
        ]

    def due(self) -> dict[str, set[str]]:
        """Whose barks are due on each timeline."""
        due: dict[str, set[str]] = {author: {author} for author in self.authors}
        for reader, author in self.follows:
            due.setdefault(reader, set()).add(author)
        return due


class Suite:
    """The processes that are broken."""

    def __init__(self, data: Path, population: Population, history: int, inboxes: int) -> None:
        """`history`: how many barks a timeline holds."""
        users = Users(data / FILE_NAME, create=True)
        users.add(population.authors, population.follows)
        users.close()
        self.shape = Shape(
            port_offset=free_offset(), inboxes=inboxes, autobarks=0, data=data, log_level="error"
        )
        self.children: dict[str, Child] = {}
        self._full: set[str] = set()
        for program in plan(self.shape):
            if program.kind == "inbox":
                at = program.arguments.index("--history") + 1
                arguments = (*program.arguments[:at], str(history), *program.arguments[at + 1 :])
                program = dataclasses.replace(program, arguments=arguments)
            # By their number, not their port, which is another in each run: one schedule for one seed.
            number = sum(child.program.kind == program.kind for child in self.children.values()) + 1
            self.children[f"{program.kind}-{number}"] = Child(program)

    def strike(self, fault: Fault) -> None:
        """A fault begins."""
        if fault.kind == "full":
            self._full.update(fault.names)
        for name in fault.names:
            if fault.kind == "full":
                self._limit(name)
            else:
                self.children[name].signal(SIGNALS[fault.kind])

    def heal(self, fault: Fault) -> None:
        """A fault ends."""
        if fault.kind == "full":
            self._full.difference_update(fault.names)
        for name in fault.names:
            child = self.children[name]
            if fault.kind == "freeze":
                child.signal(signal.SIGCONT)
            elif fault.kind != "full":
                child.wait(STOP_SECONDS)
                child.start()
            self._limit(name)

    def _limit(self, name: str) -> None:
        """Let a process write no file while its disk is full, or as it likes: no mounts and no root needed.

        Each write fails (EFBIG); what is there can be read, and be deleted.
        """
        if sys.platform == "linux" and self.children[name].runs:
            # It may have died, and this is not to be about that.
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(self.children[name].pid)
                _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (0 if name in self._full else hard, hard))

    def dead(self) -> str:
        """Who has ended without being told to; empty if nobody has."""
        ended = ((name, child.ended()) for name, child in self.children.items())
        return ", ".join(f"{name} {how}" for name, how in ended if how)

    def end(self) -> None:
        """End all processes."""
        for child in reversed(self.children.values()):
            child.signal(signal.SIGTERM)
            child.signal(signal.SIGCONT)
        for child in reversed(self.children.values()):
            child.wait(STOP_SECONDS)


class Run:
    """One run: its clients, in one reactor."""

    def __init__(
        self, suite: Suite, population: Population, rate: float, seconds: float, faults: list[Fault]
    ) -> None:
        """`rate` in barks/s, of all authors together."""
        self.suite, self.population, self.rate, self.seconds = suite, population, rate, seconds
        self.ledger = Ledger()
        self.faults = faults
        self.struck = 0
        self.arrivals: list[float] = []
        """When barks came to the reader who watches all the while, in seconds after the start."""
        self.timelines: dict[str, list[tuple[str, int]]] = {}
        self.depths: dict[str, int] = {}
        """The outboxes' queue depths at the end."""
        self.wanted = 0
        """How many barks the timelines are to hold at the end, all together."""
        self.error: BarkerError | None = None
        self.begun = time.monotonic()
        self._healing: list[Fault] = []
        self._made = 0
        self.reactor = Reactor("chaos")
        self._network = Network(self.reactor, suite.shape.directory)
        self._outbounds: dict[str, Outbound] = {}

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begun

    def run(self, show: Callable[[str, float], None]) -> None:
        """All of it; `show(phase, share)` is told how far each phase is.

        :raises BarkerError: when the suite does not start or heal, or something ends that nobody has struck.
        """
        self._show, self._steps = show, self._course()
        self._next()
        self.reactor.every(LOOK_SECONDS, self._look)
        self.reactor.run()
        if self.error is not None:
            raise self.error

    def _course(self) -> Iterator[tuple[Callable[[], bool], str]]:
        """One thing after the other; each step is what to wait for, and what it is."""
        for child in self.suite.children.values():
            child.start()
        for author in self.population.authors:
            self._outbounds[author] = Outbound(self._network, "outbox")
        receiver_from(
            self._network, f"inbox/{self.population.authors[0]}", _Watcher(self), window=2_000, settled=True
        )
        yield lambda: all(outbound.place for outbound in self._outbounds.values()), "the suite is ready"
        self.begun = time.monotonic()
        self.reactor.every(TICK_SECONDS, self._tick)
        yield lambda: self.now > self.seconds and not self._healing, "faults"
        yield lambda: not any(map(len, self._outbounds.values())), "every bark is accepted"
        outboxes = [child for child in self.suite.children.values() if child.program.kind == "outbox"]
        for child in outboxes:
            agent = f"agents/{self.suite.shape.host}-{child.program.port}"
            receiver_from(self._network, agent, _Depth(self.depths, agent), settled=True)
        # Only then can nothing come a second time.
        yield (
            lambda: len(self.depths) == len(outboxes) and not any(self.depths.values()),
            "the outboxes are empty",
        )
        due = self.population.due()
        wanted = {user: self.ledger.due(authors) for user, authors in due.items()}
        self.wanted = sum(wanted.values())
        for user in due:
            self.timelines[user] = []
            receiver_from(
                self._network, f"inbox/{user}", _Timeline(self.timelines[user]), window=2_000, settled=True
            )
        yield lambda: all(len(set(self.timelines[user])) >= wanted[user] for user in due), "timelines"

    def _next(self) -> None:
        step = next(self._steps, None)
        if step is None:
            self.reactor.stop()
        else:
            self._done, self._step = step
            self._moved = self._state(), time.monotonic()

    def _look(self) -> None:
        """Go on to the next step when this one is done, or when nothing moves any more."""
        if self._state() != self._moved[0] or (self._step == "faults" and self.now < self.seconds):
            self._moved = self._state(), time.monotonic()
        if self._step == "faults":
            self._show("faults", min(1.0, self.now / self.seconds))
        elif self._step == "timelines":
            self._show("timelines", self._read() / max(1, self.wanted))
        if self._done():
            self._next()
        elif time.monotonic() - self._moved[1] > HEAL_SECONDS:
            if self._step == "timelines":
                self._next()  # What has not come is lost, and will be found to be.
            else:
                self._fail(f"nothing has moved for {HEAL_SECONDS:g} s, and not yet: {self._step}")

    def _state(self) -> tuple[int, int, int]:
        return self.ledger.accepted, self._read(), sum(self.depths.values())

    def _read(self) -> int:
        return sum(map(len, self.timelines.values()))

    def judge(self) -> Verdict:
        """Whether the promises were kept."""
        return self.ledger.judge(self.timelines, self.population.due())

    def _fail(self, why: str) -> None:
        self.error = BarkerError(why)
        self.reactor.stop()

    # Barks

    def _bark(self, author: str) -> None:
        outbound, number = self._outbounds[author], self.ledger.next(author)
        bark = encode_bark(Bark(f"{author}:{number}", author, f"This is bark {number}.", now()))

        def offered() -> bytes:
            self.ledger.offer(author, number, outbound.place)
            return bark

        def then(outcome: Outcome) -> None:
            if isinstance(outcome, Accepted):
                self.ledger.accept(author, number, outbound.place)
            else:
                self._fail(f"a bark was rejected: {outcome}")

        outbound.send(offered, then)

    def _tick(self) -> None:
        if self.now < self.seconds:
            due = int(self.now * self.rate)
            # What cannot be sent while the outboxes are away is not made up for.
            for number in range(self._made, due):
                author = self.population.authors[number % len(self.population.authors)]
                if len(self._outbounds[author]) < MOST_PENDING:
                    self._bark(author)
            self._made = due
        self._break()

    # Faults

    def _break(self) -> None:
        for fault in [fault for fault in self._healing if fault.end <= self.now]:
            self._healing.remove(fault)
            self.suite.heal(fault)
        while self.struck < len(self.faults) and self.faults[self.struck].at <= self.now:
            fault = self.faults[self.struck]
            self.struck += 1
            self.suite.strike(fault)
            self._healing.append(fault)
        if not self._healing and (dead := self.suite.dead()):
            self._fail(f"nobody has struck it, and yet: {dead}")


class _Watcher(PeerHandler[Receiver]):
    """Reads one timeline all the while, to see when nothing comes."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: set[str] = set()

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        # With each new link the history comes again.
        bark = message_id(data)
        if bark not in self._known:
            self._known.add(bark)
            self._run.arrivals.append(self._run.now)


class _Depth(PeerHandler[Receiver]):
    """Reads what one outbox reports."""

    def __init__(self, depths: dict[str, int], agent: str) -> None:
        self._depths, self._agent = depths, agent

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        self._depths[self._agent] = decode_map(data)[1]["depth"]


class _Timeline(PeerHandler[Receiver]):
    """Reads one timeline from its beginning."""

    def __init__(self, barks: list[tuple[str, int]]) -> None:
        self._barks = barks

    def on_found(self, link: Receiver) -> None:
        self._barks.clear()

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        author, _, number = message_id(data).partition(":")
        self._barks.append((author, int(number)))


def _gone_wrong(verdict: Verdict) -> str:
    return "\n".join(["The promises were NOT kept:", *(f"  {example}" for example in verdict.examples)])


def _figures(run: Run, verdict: Verdict, seed: int) -> dict[str, Any]:
    """All that is known at the end, for --json and the tables."""
    gaps = longest_gaps(run.arrivals, run.faults, SETTLE_SECONDS)
    counts = Counter(fault.label for fault in run.faults)
    return {
        "seed": seed,
        "seconds": run.seconds,
        "rate": run.rate,
        "accepted": verdict.accepted,
        "due": run.wanted,
        "delivered": verdict.delivered,
        "lost": verdict.lost,
        "twice": verdict.twice,
        "out_of_order": verdict.disordered,
        "strange": verdict.strange,
        "faults": len(run.faults),
        "by_fault": {
            label: {"count": counts[label], "longest_gap": round(gaps[label], 3)} for label in sorted(gaps)
        },
        "kept": verdict.kept,
        "examples": verdict.examples,
    }


def _tables(console: Console, figures: dict[str, Any]) -> None:
    faults = Table("fault", "times", "longest gap in delivery, s", title=f"{figures['faults']} faults")
    for label, of in figures["by_fault"].items():
        faults.add_row(label, str(of["count"]), f"{of['longest_gap']:.2f}")
    console.print(faults)
    result = Table("accepted", "due on timelines", "delivered", "lost", "twice", "out of order", "strange")
    keys = ("accepted", "due", "delivered", "lost", "twice", "out_of_order", "strange")
    result.add_row(*(f"{figures[key]:,}" for key in keys))
    console.print(result)


@click.command("chaos")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=500.0,
    show_default=True,
    help="Barks/s in all.",
)
@click.option("--seed", type=int, help="Have the same faults again (default: another each time).")
@click.option("--faults", type=click.FloatRange(0), default=20.0, show_default=True, help="Faults a minute.")
@click.option("--authors", type=click.IntRange(1), default=25, show_default=True, help="How many bark.")
@click.option(
    "--readers", type=click.IntRange(1), default=20, show_default=True, help="How many follow them."
)
@click.option("--inboxes", type=click.IntRange(1, 20), default=1, show_default=True, help="How many.")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Keep its data here, an empty folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@options.program
def main(
    minutes: float,
    rate: float,
    seed: int | None,
    faults: float,
    authors: int,
    readers: int,
    inboxes: int,
    data: Path | None,
    as_json: bool,
) -> None:
    """Break a suite of its own, again and again, and see whether all that was accepted is delivered.

    Ends with status 0 only if nothing was lost, nothing came twice and nothing out of order.
    """
    seed = random.randrange(1_000_000) if seed is None else seed
    folder = data or Path(tempfile.mkdtemp(prefix="barker-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Mistake(f"{folder} is not empty: chaos takes a folder of its own")
    console = Console(stderr=as_json)
    console.print(f"seed {seed}; data in {folder}")
    chance = random.Random(seed)
    population = Population(authors, readers, chance)
    suite = Suite(folder, population, int(rate * minutes * 60) + 1000, inboxes)
    kinds = {name: child.program.kind for name, child in suite.children.items()}
    run = Run(suite, population, rate, minutes * 60, schedule(seed, kinds, minutes * 60, faults, FAULTS))
    columns = (TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.fields[says]}"))
    kept = False
    try:
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            tasks = {name: progress.add_task(name, total=1.0, says="") for name in ("faults", "timelines")}

            def show(phase: str, share: float) -> None:
                says = f"{run.struck} faults, {run.ledger.accepted:,} barks accepted"
                progress.update(tasks[phase], completed=share, says=says if phase == "faults" else "")

            run.run(show)
        verdict = run.judge()
        kept = verdict.kept
        figures = _figures(run, verdict, seed)
        if as_json:
            click.echo(json.dumps(figures))
        else:
            _tables(console, figures)
        console.print("All promises were kept." if kept else _gone_wrong(verdict))
    finally:
        suite.end()
        if kept and data is None:
            shutil.rmtree(folder)
        elif not kept:
            console.print(f"The journals are kept in {folder}; again: barker chaos --seed {seed}")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
