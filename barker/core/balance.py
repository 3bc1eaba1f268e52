"""Whether any bark is lost or was delivered twice: what outboxes have handed on against what inboxes have.

Each outbox counts the barks that have left it: all it ever accepted, but for those that wait in it, those
that became dead letters, and follows. Each inbox counts the barks that it has put on their authors'
timelines: each bark comes to its author's timeline, exactly once. Both counts last as long as the journals
do, and each service tells what they were at the last whole second (:class:`barker.core.gauges.AtSecond`), so
that those of one second can be compared.

What an outbox has sent at least once, and still holds, may be on its timeline already, or not: so much is
not known. A bark that its sender
sent twice, not knowing what had become of it, may be accepted by two outboxes; the inbox drops the second,
and counts those. More than so many that are missing are lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

PATIENCE = 10
"""So many seconds counting waits to begin at one in which nothing is on its way."""

SURE = 3
"""So many seconds in a row something has to be missing, or there twice, before that is said."""

MOST = 200
"""So many outboxes and inboxes are known at most."""


class _Count:
    """What one outbox or inbox has counted."""

    def __init__(self, base: int) -> None:
        self.base = base
        """What it had counted when counting began here."""
        self.pid = 0
        self.last = self.held = 0
        self.seconds: dict[int, tuple[int, int, int]] = {}
        """By second: the count, what it held, and what of that it had sent at least once."""
        self.again = self.again_before = 0

    @property
    def newest(self) -> int:
        """What it told last."""
        return self.seconds[max(self.seconds)][0] if self.seconds else self.last

    @property
    def grown(self) -> int:
        """What it has counted since."""
        return self.last - self.base


class Balance:
    """What is known of all outboxes and inboxes of one suite, on one machine's clock."""

    def __init__(self) -> None:
        self._outboxes: dict[str, _Count] = {}
        self._inboxes: dict[str, _Count] = {}
        self._begin()

    def _begin(self) -> None:
        self._since = 0
        self._waited = 0
        self._unsure = 0
        self._lows: deque[int] = deque(maxlen=SURE)
        self._highs: deque[int] = deque(maxlen=SURE)
        self._lost = self._suspect = self._twice = 0
        self._told: dict[str, Any] = {}

    def update(self, reports: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """What can be said after these reports of one second: nothing before there is a count.

        ``since`` and ``at``: from when and until when it is counted, in seconds since 1970. ``accepted``,
        ``delivered``, ``held``: barks. ``lost``: so many are, at least; ``suspect``: so many may be, or their
        senders sent them twice; ``twice``: so many more are on timelines than outboxes handed on; ``open``:
        so many may be missing and not be seen to be, as others are on their way. ``away``: outboxes that do
        not tell now, with spaces between, whose last words were counted.
        """
        here: list[_Count] = []
        hosts = set()
        for report in reports:
            for known, name in ((self._outboxes, "handed_on"), (self._inboxes, "put")):
                if report.get(name) is not None:
                    here += self._hear(known, name, report)
                    hosts.add(report.get("host"))
        if len(hosts) > 1:
            return self._told  # Their clocks may differ.
        away = [name for name, count in self._outboxes.items() if count not in here]
        for name in away:
            self._outboxes[name].last = self._outboxes[name].newest
        inboxes = [count for count in here if count in self._inboxes.values()]
        if not inboxes or len(inboxes) < len(self._inboxes) or len(inboxes) == len(here):
            return self._told
        common = set.intersection(*(set(count.seconds) for count in here))
        if common:
            self._compare(max(common), here, away)
        return self._told

    def _hear(self, known: dict[str, _Count], name: str, report: Mapping[str, Any]) -> list[_Count]:
        """What one of them says; nothing if it has no place here."""
        told = [report.get(key) for key in (name, f"{name}_before", "counted_at")]
        if None in told or (report["name"] not in known and len(known) >= MOST):
            return []
        total, before, second = (int(value) for value in told if value is not None)
        if not second:
            return []  # It has just begun.
        held, tried = (int(report.get(key) or 0) for key in ("held", "held_tried"))
        again, again_before = (int(report.get(key) or 0) for key in ("put_again", "put_again_before"))
        count = known.get(report["name"])
        if count is None:
            if self._since and total:
                self._begin()  # Who knows what of that it has counted since then, unheard.
            count = known[report["name"]] = _Count(before)
            count.last, count.again_before = total, again_before
            self._unsure += tried  # It may have come before counting began.
        elif count.pid != report["pid"]:
            if before < count.last:
                self._begin()  # Another journal: what it has counted at the end of the old one nobody knows.
                count.again_before = again_before
            count.seconds.clear()
        count.pid = report["pid"]
        count.seconds[second] = total, held, tried
        for old in [other for other in count.seconds if not second - SURE < other <= second]:
            del count.seconds[old]
        count.again += max(0, again - count.again_before)
        count.again_before = again
        return [count]

    def _compare(self, second: int, here: list[_Count], away: list[str]) -> None:
        if second == self._told.get("at"):
            return
        tried = 0
        for count in here:
            count.last, count.held, sent = count.seconds[second]
            tried += sent
        if not self._since:
            self._waited += 1
            if tried and self._waited <= PATIENCE:
                return
            self._since, self._unsure = second, tried
            for name in away:
                del self._outboxes[name]  # Likewise, once it is back.
            for count in (*self._outboxes.values(), *self._inboxes.values()):
                count.base, count.again = count.last, 0
        handed_on = sum(count.grown for count in self._outboxes.values())
        delivered = sum(count.grown for count in self._inboxes.values())
        again = sum(count.again for count in self._inboxes.values())
        missing, held = handed_on - delivered, sum(count.held for count in self._outboxes.values())
        self._lows.append(missing - self._unsure)
        self._highs.append(missing + tried)
        if len(self._lows) == SURE:
            self._suspect = max(self._suspect, min(self._lows))
            self._lost = max(self._lost, min(self._lows) - again)
            if not away:  # One that is may have handed on more before it went.
                self._twice = max(self._twice, -max(self._highs))
        self._told = {
            "since": self._since,
            "at": second,
            "accepted": handed_on + held,
            "delivered": delivered,
            "held": held,
            "lost": self._lost,
            "suspect": max(self._lost, self._suspect),
            "twice": self._twice,
            "open": max(0, missing + tried - self._suspect),
            "away": " ".join(sorted(away)),
        }
