"""What is looked at in simulated processes, between their turns: whether what they say is what their journals
hold, whether what they hold for others is within what they state, and whether all is healed in the end.
"""

from __future__ import annotations

from collections.abc import Iterator

from barker.amqp.agent import REPORT_SECONDS
from barker.amqp.link import Sender
from barker.amqp.process import Process
from barker.core.timelines import Timelines
from barker.manifolds.intake import KEPT_BYTES
from barker.manifolds.queues import QueueManifold
from barker.manifolds.readers import TimelineManifold
from barker.work.spreading import LARGEST, ON_THEIR_WAY, TRANSFERS, Bizlogic

QUEUE_BYTES = 2 * 32 * 1024 * 1024
"""What a queue has in memory at most, ready and in flight (`core/work_queue.py`)."""


def contradictions(process: Process) -> Iterator[str]:
    """Where a manifold says that it holds something else than its journal does."""
    if isinstance(process, QueueManifold):
        # What is settled is in the journal until the next commit; what is a dead letter by then, not yet.
        held, settled = dict(process.journal.queues()), process._settled
        for queue, _ in settled:
            held[queue] -= 1
        says = {address: queue.work.depth for address, queue in process._queues.items()}
        for address in sorted({*held, *says}):
            found, due = says.get(address, 0), held.get(address, 0)
            if found != due:
                yield f"{address} has {found} messages, and in its journal {due}"
        state = process.state()
        flies = sum(
            queue.work.in_flight for queue in process._queues.values() if not queue.holds_dead_letters
        )
        if state["in_flight"] != flies:
            yield f"its agent says {state['in_flight']} in flight, and there are {flies}"
        if state["depth"] + state["dead_letters"] != sum(held.values()):
            yield f"its agent says {state['depth']} and {state['dead_letters']}, and its journal has {held}"
    elif isinstance(process, TimelineManifold):
        readers = len(process._readers)
        if process.state()["readers"] != readers or any(not link.live for link in process._readers):
            yield "it has readers whose links have ended"


def forgotten(process: Process) -> Iterator[str]:
    """Where the timelines in memory are not those that the journal would give: this takes long."""
    if isinstance(process, TimelineManifold):
        again: Timelines[Sender] = Timelines(process.timelines.history)
        for entry in process.journal.load():
            if entry.data is not None:
                again.deliver(entry.sequence, entry.data, again.audience(entry.users))
        most = again.history
        on_disk = {name: [each.sequence for each in of[-most:]] for name, of in again}
        for name, timeline in process.timelines:
            found = [message.sequence for message in timeline[-most:]]
            if found != on_disk.pop(name, []):
                yield f"the timeline of {name} is another in the journal"
        yield from (f"the timeline of {name} is in the journal alone" for name, of in on_disk.items() if of)


def beyond(process: Process, most: int = 1 << 62) -> Iterator[str]:
    """Where a process holds more for others than it states; `most`: messages that a queue may have."""
    if isinstance(process, QueueManifold | TimelineManifold):
        intake = process.intake
        kept = sum(arrival.size for arrival in intake._arrivals)
        if kept > KEPT_BYTES:
            yield f"{kept} bytes wait for the disk"
        granted = sum(link.window for link in intake._producers)
        if granted != intake._granted:
            yield f"its producers are granted {granted}, and it counts {intake._granted}"
    if isinstance(process, QueueManifold):
        stored = sum(queue.work.depth for queue in process._queues.values())
        # As many again may have been granted before, and one to each producer in any case.
        if stored > 2 * most + len(process.intake._producers):
            yield f"{stored} messages are stored, and twice {most} may be"
        for address, queue in process._queues.items():
            if queue.work.memory > QUEUE_BYTES:
                yield f"{queue.work.memory} bytes of {address} are in memory"
            if any(link.in_flight > process.reactor.system.bounds.in_flight for link in queue.consumers):
                yield f"more of {address} is in flight to one consumer than may be"
    elif isinstance(process, TimelineManifold):
        if any(link.in_flight > process.reactor.system.bounds.in_flight for link in process._readers):
            yield f"a reader has more than {process.reactor.system.bounds.in_flight} unsettled"
    elif isinstance(process, Bizlogic):
        if sum(outbox.link.window for outbox in process.outboxes) > TRANSFERS:
            yield f"outboxes are granted more than {TRANSFERS} transfers"
        if sum(inbox.memory for inbox in process._inboxes) > ON_THEIR_WAY + LARGEST * len(process._inboxes):
            yield f"more than {ON_THEIR_WAY} bytes of fan-outs are on their way"


def waits(process: Process) -> Iterator[str]:
    """Who has given credit, and waits for what is there: between two turns nobody does."""
    if isinstance(process, QueueManifold) and not process.ending:
        for address, queue in process._queues.items():
            for link in queue.consumers:
                if (
                    link.credit
                    and link.in_flight < process.reactor.system.bounds.in_flight
                    and queue.work.has_for(link)
                ):
                    yield f"a consumer of {address} with credit waits for what is ready"
    elif isinstance(process, TimelineManifold):
        for link, cursor in process._readers.items():
            if link.credit and link.in_flight < process.reactor.system.bounds.in_flight and cursor.behind:
                yield f"a reader of {link.address} with credit waits for what is there"


def sleeps(process: Process) -> Iterator[str]:
    """Whether its timers have stopped: its agent has one that is due each second."""
    patience = process.reactor.patience()
    if patience is None or patience > 2 * REPORT_SECONDS:
        yield "it would sleep through its next report"


def unhealed(process: Process) -> Iterator[str]:
    """What still waits in a process, long after the last fault, when nobody sends anything."""
    for connection in process.reactor.connections:
        for link in connection.links:
            if isinstance(link, Sender) and link.unsettled:
                yield f"{len(link.unsettled)} deliveries to {link.address} are not settled"
    if isinstance(process, QueueManifold):
        if process.intake._arrivals or process._settled or process._dead:
            yield "something waits for a commit"
        for address, queue in process._queues.items():
            if queue.work.depth:
                yield f"{queue.work.depth} messages of {address} are left"
    elif isinstance(process, TimelineManifold):
        if process.intake._arrivals:
            yield "something waits for a commit"
    elif isinstance(process, Bizlogic):
        waiting = sum(len(outbox.waiting) + len(outbox.words) for outbox in process.outboxes)
        if waiting + process.in_hand():
            yield f"{waiting} messages wait, and {process.in_hand()} for the inboxes"
