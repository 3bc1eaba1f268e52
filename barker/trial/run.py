"""A run of `barker chaos`: authors bark while faults strike; then timelines are compared with what is due.

Authors bark at a steady rate, as clients that count only what was accepted, while services are killed, frozen
and restarted, and their disks fill, by a schedule. In the end everything runs again, and every timeline is
read from its beginning. What is right is decided by `core/ledger.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, Protocol

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, Place, Places, receiver_from
from barker.amqp.message import decode_map, encode_bark, message_id
from barker.amqp.outbound import Accepted, Outbound, Outcome
from barker.amqp.reactor import Reactor
from barker.amqp.system import System
from barker.core.access import Credentials
from barker.core.barks import Bark
from barker.core.errors import BarkerError
from barker.core.faults import NODE, Fault, longest_gaps
from barker.core.ledger import Ledger, Verdict
from barker.core.partitions import number_of
from barker.suite.shape import Program, Shape
from barker.trial.brokered import BOOTS, RunBroker, Step
from barker.trial.population import Population
from barker.trial.workload import Workload

MOST_PENDING = 500
"""An author with so many barks that are not accepted makes no more."""

LOOK_SECONDS = 0.2
"""How often it is looked how far it is."""

HEAL_SECONDS = 60.0
"""When nothing has moved for so long after the last fault, the rest is lost."""

BOOT_SECONDS = 180.0
"""So long a broker's nodes may take to start."""

SETTLE_SECONDS = 4.0
"""So long after its end a fault is still held responsible for a gap."""

LINKS = 400
"""So many timelines are read over one connection: there may be 500 links."""


class Child(Protocol):
    """One process that is broken."""

    @property
    def program(self) -> Program:
        """What it is."""

    def start(self) -> None:
        """Start it."""


class Breakable(Protocol):
    """The processes that are broken: real ones, or simulated."""

    @property
    def children(self) -> Mapping[str, Child]:
        """All of them, by name."""

    @property
    def shape(self) -> Shape:
        """Where they are."""

    def strike(self, fault: Fault) -> None:
        """A fault begins."""

    def heal(self, fault: Fault) -> None:
        """A fault ends."""

    def dead(self) -> str:
        """Who has ended without being told to; empty if nobody has."""


class Run:
    """One run: its clients, in one reactor."""

    def __init__(
        self,
        suite: Breakable,
        population: Population,
        rate: float,
        seconds: float,
        faults: list[Fault],
        tick_seconds: float = 0.01,
        look_seconds: float = LOOK_SECONDS,
        first: int = 0,
        most: int = 10**9,
        left_out: frozenset[int] = frozenset(),
        system: System | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """`rate` in barks/s, of all authors together.

        `tick_seconds`: how often barks are made and faults are due, at most; `look_seconds`: how often it is
        looked how far it is, until the last fault. `first`, `most`, `left_out`: which of all barks are made.
        `system`: the machine of its clients, `credentials`: who they are.
        """
        self.suite, self.population, self.rate, self.seconds = suite, population, rate, seconds
        self.ledger = Ledger()
        self.faults, self._tick_seconds, self._look_seconds = faults, tick_seconds, look_seconds
        self._most, self._left_out = most, left_out
        self.struck = 0
        self.arrivals: list[float] = []
        """When barks came to the reader who watches all the while, in seconds after the start."""
        self.timelines: dict[str, list[tuple[str, int]]] = {}
        self._reports: dict[str, dict[str, Any]] = {}
        """What services say of themselves at the end, by their names."""
        self.wanted = 0
        """How many barks the timelines are to hold at the end, all together."""
        self.error: BarkerError | None = None
        self.workloads: list[Workload] = []
        """What else clients do; to be filled before it begins."""
        self._healing: list[Fault] = []
        self._made = first
        self.reactor = Reactor("chaos", system, credentials)
        self.begun = self.reactor.clock()
        self.network = Network(self.reactor, *suite.shape.directory_places)
        """The connections of its clients."""
        self._nodes = [child for child in suite.children.values() if child.program.kind == NODE]
        self._broker: RunBroker | None = None
        if (broker := suite.shape.broker) is not None:
            self._broker = RunBroker(self.reactor, suite.shape, broker, len(self._nodes), self.fail)
        self._outbounds: dict[str, Outbound] = {}

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.reactor.clock() - self.begun

    def run(self, show: Callable[[str, float], None]) -> None:
        """All of it; `show(phase, share)` is told how far each phase is.

        :raises BarkerError: when the suite does not start or heal, or something ends that nobody has struck.
        """
        self.begin(show)
        self.reactor.run()
        if self.error is not None:
            raise self.error

    def begin(self, show: Callable[[str, float], None]) -> None:
        """What comes before the reactor runs; :attr:`error` tells in the end whether all went well."""
        self._show, self._steps = show, self._course()
        self._next()
        self._look_later()

    def fail(self, why: str) -> None:
        """End it before its time."""
        self.error = BarkerError(why)
        self.reactor.stop()

    def _course(self) -> Iterator[Step]:
        """One thing after the other; each step is what to wait for, and what it is."""
        if self._broker is not None:
            for node in self._nodes:
                node.start()
            yield from self._broker.made()
        for child in self.suite.children.values():
            if child.program.kind != NODE:
                child.start()
        for author in self.population.authors:
            self._outbounds[author] = Outbound(self.network, "outbox")
        receiver_from(
            self.network, f"inbox/{self.population.authors[0]}", _Arrivals(self), window=2_000, settled=True
        )
        yield lambda: all(outbound.place for outbound in self._outbounds.values()), "the suite is ready"
        self.begun = self.reactor.clock()
        self._tick()
        for workload in self.workloads:
            workload.begin()
        yield lambda: self.now > self.seconds and not self._healing, "faults"
        for workload in self.workloads:
            workload.end()
        yield lambda: not any(map(len, self._outbounds.values())), "every bark is accepted"
        self._listen("outbox")
        # Only then can nothing come a second time.
        yield lambda: bool(self._told("outbox")) and not self._depth(), "the outboxes are empty"
        if self._broker is not None:
            self._listen("bizlogic")
            self._listen("inbox")
            yield from self._broker.emptied(self._told)
        yield lambda: not self._left(), "clients"
        due = self._due()
        wanted = {name: self.ledger.due(authors) for name, authors in due.items()}
        self.wanted = sum(wanted.values())
        networks = {self.suite.shape.directory_places: self.network}
        count: Counter[Places] = Counter()
        for user in self.population.due():
            for name, places in self._copies(user).items():
                if places not in networks:
                    networks[places] = Network(self.reactor, *places)
                timeline = self.timelines[name] = []
                receiver_from(
                    networks[places], f"inbox/{user}", _Timeline(timeline), window=2_000, settled=True
                )
                count[places] += 1
                if count[places] % LINKS == 0:
                    del networks[places]
        # Who has lost his link meanwhile, and come again, sees all of it once more.
        yield (
            lambda: not self._left() and all(len(set(self.timelines[name])) >= wanted[name] for name in due),
            "timelines",
        )

    def _listen(self, kind: str) -> None:
        """Hear from now on what services of that kind say of themselves."""
        for name, child in self._services(kind):
            agent = f"agents/{self.suite.shape.host}-{child.program.port}"
            receiver_from(self.network, agent, _Report(self._reports, name), settled=True)

    def _told(self, kind: str) -> list[dict[str, Any]]:
        """What all of that kind have said last; nothing before all have said something."""
        names = [name for name, _ in self._services(kind)]
        return [self._reports[name] for name in names] if self._reports.keys() >= set(names) else []

    def _services(self, kind: str) -> list[tuple[str, Child]]:
        return [(name, child) for name, child in self.suite.children.items() if child.program.kind == kind]

    def _depth(self) -> int:
        """How much waits in the outboxes, as far as they have said."""
        return sum(report.get("depth", 0) for report in self._reports.values())

    def _copies(self, user: str) -> dict[str, Places]:
        """Where a timeline is to be read, under which name: of several copies, each by itself."""
        shape = self.suite.shape
        if shape.copies == 1:
            return {user: shape.directory_places}
        all_of_them = self._services("inbox")[number_of(user, shape.inboxes) :: shape.inboxes]
        return {
            f"{user} at {name}": Places([Place(shape.host, child.program.port or 0)])
            for name, child in all_of_them
        }

    def _due(self) -> dict[str, set[str]]:
        """Whose barks are due on each timeline."""
        due = self.population.due()
        return {name: authors for user, authors in due.items() for name in self._copies(user)}

    def _next(self) -> None:
        step = next(self._steps, None)
        if step is None:
            self.reactor.stop()
        else:
            self._done, self._step = step
            self._moved = self._state(), self.reactor.clock()

    def _look_later(self) -> None:
        seconds = self._look_seconds if self._step == "faults" else LOOK_SECONDS
        self.reactor.after(seconds, self._look)

    def _look(self) -> None:
        """Go on to the next step when this one is done, or when nothing moves any more."""
        self._look_later()
        state, patience = self._state(), BOOT_SECONDS if self._step == BOOTS else HEAL_SECONDS
        if state != self._moved[0] or (self._step == "faults" and self.now < self.seconds):
            self._moved = state, self.reactor.clock()
        if self._step == "faults":
            self._show("faults", min(1.0, self.now / self.seconds))
        elif self._step == "timelines":
            self._show("timelines", self._read() / max(1, self.wanted))
        if self._step != "the suite is ready" and not self._healing and (dead := self.suite.dead()):
            self.fail(f"nobody has struck it, and yet: {dead}")
        elif self._done():
            self._next()
        elif self.reactor.clock() - self._moved[1] > patience:
            if self._step in ("clients", "timelines"):
                self._next()  # What has not come is lost, and will be found to be.
            else:
                self.fail(f"nothing has moved for {patience:g} s, and not yet: {self._step}")

    def _state(self) -> tuple[int, ...]:
        on_its_way = self._broker.left if self._broker is not None else 0
        return self.ledger.accepted, self._read(), self._depth(), on_its_way, self._left()

    def _left(self) -> int:
        """How much the workloads wait for."""
        asked = self._step in ("clients", "timelines")
        return sum(workload.left for workload in self.workloads) if asked else 0

    def _read(self) -> int:
        return sum(map(len, self.timelines.values()))

    def judge(self, excused: Container[tuple[str, int]] = ()) -> Verdict:
        """Whether the promises were kept; `excused`: barks that may be missing or late."""
        verdict = self.ledger.judge(self.timelines, self._due(), excused)
        for workload in self.workloads:
            for wrong in workload.judge():
                verdict.others[type(workload).__name__] += 1
                verdict.wrong(wrong)
        return verdict

    def figures(self, verdict: Verdict, seed: int) -> dict[str, Any]:
        """All that is known at the end, for --json and the tables."""
        gaps = longest_gaps(self.arrivals, self.faults, SETTLE_SECONDS)
        counts = Counter(fault.label for fault in self.faults)
        return {
            "seed": seed,
            "seconds": self.seconds,
            "rate": self.rate,
            "accepted": verdict.accepted,
            "due": self.wanted,
            "delivered": verdict.delivered,
            "lost": verdict.lost,
            "twice": verdict.twice,
            "out_of_order": verdict.disordered,
            "strange": verdict.strange,
            "others": verdict.others.total(),
            "excused": verdict.excused,
            "faults": len(self.faults),
            "by_fault": {
                label: {"count": counts[label], "gap": gaps[label]._asdict()} for label in sorted(gaps)
            },
            **self.besides(),
            "kept": verdict.kept,
            "examples": verdict.examples,
        }

    def besides(self) -> dict[str, int]:
        """How much clients did besides barking, by what it is."""
        return {name: count for workload in self.workloads for name, count in workload.figures().items()}

    # Barks

    def _bark(self, author: str) -> None:
        outbound, number = self._outbounds[author], self.ledger.next(author)
        bark = encode_bark(
            Bark(f"{author}:{number}", author, f"This is bark {number}.", int(self.reactor.wall() * 1000))
        )

        def offered() -> bytes:
            self.ledger.offer(author, number, outbound.place)
            return bark

        def then(outcome: Outcome) -> None:
            if isinstance(outcome, Accepted):
                self.ledger.accept(author, number, outbound.place)
            else:
                self.fail(f"a bark was rejected: {outcome}")

        outbound.send(offered, then)

    def _tick(self) -> None:
        if self.now < self.seconds:
            due = min(self._most, int(self.now * self.rate))
            # What cannot be sent while the outboxes are away is not made up for.
            for number in range(self._made, due):
                author = self.population.authors[number % len(self.population.authors)]
                if number not in self._left_out and len(self._outbounds[author]) < MOST_PENDING:
                    self._bark(author)
            self._made = max(self._made, due)
        try:
            self._break()
        except BarkerError as error:
            self.fail(str(error))
        self.reactor.after(max(self._tick_seconds, self._next_due() - self.now), self._tick)

    def _next_due(self) -> float:
        """When the next bark is made, or the next fault begins or ends, in seconds after the start."""
        due = [fault.end for fault in self._healing]
        due += [fault.at for fault in self.faults[self.struck : self.struck + 1]]
        if self.now < self.seconds and self._made < self._most:
            due.append((self._made + 1) / self.rate)
        return min(due, default=self.now + HEAL_SECONDS)

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


class _Arrivals(PeerHandler[Receiver]):
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


class _Report(PeerHandler[Receiver]):
    """Reads what one service says of itself."""

    def __init__(self, reports: dict[str, dict[str, Any]], name: str) -> None:
        self._reports, self._name = reports, name

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        self._reports[self._name] = decode_map(data)[1]


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
