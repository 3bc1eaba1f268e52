"""Another number of partitions for what is in a suite's data folder, while the suite does not run.

Barks that wait in outboxes go to the queues of other partitions of authors (in place, some at a time), and
timelines to the journals of another number of inboxes (new journals, which take the old ones' place at once).
Either may be cut off at any moment, and done again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from barker.amqp.message import decode_bark
from barker.core.errors import Mistake, PeerError
from barker.core.partitions import Partition, addresses
from barker.core.timelines import Seen
from barker.store.journal import QueueJournal, TimelineJournal
from barker.store.moves import divide_timelines, move_queues
from barker.store.swap import begin, beside, commit, finish, remove
from barker.suite.journals import holding_of, holds, inbox_journals, journal_file, outbox_journals

AT_ONCE = 1_000
"""So many waiting barks are read at once."""


def repartition(data: Path, partitions: int | None, inboxes: int | None) -> list[str]:
    """Have the journals in `data` be for so many partitions of authors, and inboxes; what was done, in lines.

    None: as many as there are.

    :raises Mistake: when there are no journals, or it cannot be told for how many inboxes they are.
    :raises StorageError: when one is in use, or the disk fails; then it can be done again.
    """
    lines = ["what was begun before is done"] if finish(data) else []
    found, names = inbox_journals(data), outbox_journals(data)
    if not found and not names:
        raise Mistake(f"there are no journals of outboxes or inboxes in {data}: name the --data of a suite")
    with ExitStack() as stack:
        # They stay open until all is done: so no outbox can go on meanwhile.
        outboxes = [stack.enter_context(closing(QueueJournal(journal_file(data, name)))) for name in names]
        if partitions is not None:
            moved = sum(move_queues(journal, "outbox", partitions, _author_of) for journal in outboxes)
            lines.append(f"waiting barks that are for {partitions} partition(s) of authors now: {moved}")
        if inboxes is not None:
            lines += _divide(data, found, outboxes, inboxes)
    return lines


def _divide(
    data: Path, found: dict[str, Partition], outboxes: Sequence[QueueJournal], inboxes: int
) -> Iterator[str]:
    """Divide the timelines anew, and say so."""
    empty = [name for name in found if not holds(data, name)]
    parts = {part for name, part in found.items() if name not in empty}
    counts = sorted({part.count for part in parts})
    if len(counts) > 1:
        raise Mistake(
            f"{data} has timelines of {' and of '.join(map(str, counts))} inboxes: put those inbox-*.sqlite3 "
            "that are not to be kept elsewhere"
        )
    # They would only say that there are so many inboxes.
    for name in empty:
        TimelineJournal(journal_file(data, name)).close()  # Nothing is left in its log.
        remove([journal_file(data, name)])
    if counts in ([], [inboxes]):
        yield f"there is nothing to divide: no timelines but those of {inboxes} inbox(es)"
        return
    new = [journal_file(data, _name(address)) for address in addresses("inbox", inboxes)]
    chosen: dict[Partition, str] = {}
    unused: list[str] = []
    for part in sorted(parts, key=str):
        *others, chosen[part] = holding_of(data, found, part)
        unused += others
    with ExitStack() as stack:
        sources = [
            (part, stack.enter_context(closing(TimelineJournal(journal_file(data, name)))))
            for part, name in chosen.items()
        ]
        begin(data)
        try:
            count = divide_timelines(sources, [beside(file) for file in new], _waiting(outboxes).__contains__)
            for file in new:
                TimelineJournal.check(beside(file))
        except BaseException:
            begin(data)  # On a full disk, what it has written is in the way.
            raise
    old, aside = ([journal_file(data, name) for name in names] for names in (chosen.values(), unused))
    commit(data, new, old, aside)
    yield f"messages on timelines that {inboxes} inbox(es) have now: {count}"
    for name in unused:
        yield f"{name}.sqlite3 had timelines, too, that were not shown: it is {name}.sqlite3.unused now"


def _name(address: str) -> str:
    """The name of the journal of an inbox, as the launcher has it."""
    return address if address != "inbox" else "inbox-1"


def _waiting(outboxes: Sequence[QueueJournal]) -> Seen:
    """``author/id`` of all that outboxes hold: it may be on some timelines, and comes again."""
    queues = [(journal, queue, count) for journal in outboxes for queue, count in journal.queues().items()]
    waiting = Seen(sum(count for _, _, count in queues) + 1)
    for journal, queue, _ in queues:
        after = 0
        while some := list(journal.load(queue, after, AT_ONCE)):
            after = some[-1].sequence
            for entry in some:
                try:
                    word = decode_bark(entry.data, any_time=True)
                except PeerError:
                    continue  # Bizlogic will reject it.
                waiting.add(f"{word.user}/{word.id}")
    return waiting


def _author_of(data: bytes) -> str:
    """Whose a message is; nobody's, if it is no bark: any bizlogic will reject that."""
    try:
        return decode_bark(data, any_time=True).user
    except PeerError:
        return ""
