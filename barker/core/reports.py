"""What agents say of their services, and the monitor of all: checked, for a peer may say anything.

An agent's report is a map. The monitor checks it where it comes in (:func:`checked`); whoever reads the
monitor checks what that says (:func:`reports_in`). Who reports is known by the address it was read at, and
never by what the report says of its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from barker.core.errors import InvalidField

AGENTS = "agents/"
"""What all agents' addresses begin with; HOST-PORT follows."""

MOST_NAME = 100
"""The longest name and type of a service, and of a field, in characters."""

MOST_TEXT = 1_000
"""Any other text is cut after so many characters."""

MOST_FIELDS = 100
"""No report has more fields."""

MOST_NUMBER = 2**53
"""No number in a report is larger: up to here JavaScript and Prometheus know every integer."""

LAST_TIME = 253_402_300_799
"""The last second of the year 9999, in seconds since 1970: no calendar goes further."""

TEXTS = frozenset(("address", "broker", "command", "consumer", "inbox", "mode", "outbox", "takes"))
"""Fields that are a text."""

NUMBERS = frozenset(
    (
        *("counted_at", "handed_on", "handed_on_before", "held", "held_tried"),
        *("put", "put_again", "put_again_before", "put_before"),
        *(
            "agents",
            "connections",
            "consumers",
            "cpu",
            "dead_letters",
            "delivered",
            "depth",
            "depth_peak",
            "files",
        ),
        *(
            "in_flight",
            "journal_bytes",
            "latency_now",
            "latency_p50",
            "latency_p99",
            "memory",
            "missed",
            "queues",
        ),
        *(
            "readers",
            "received",
            "received_rate",
            "received_rate_now",
            "rejected",
            "repeated",
            "routes",
            "sent",
            "sent_rate",
            "sent_rate_now",
        ),
        *("since", "timelines", "users", "watchers", "websockets"),
    )
)
"""Fields that are a number, or None for not known."""

QUEUES = "/queues"
"""What is added to the address of a queue manifold's agent for its queues, one by one."""

MOST_QUEUES = 1_000
"""So many queues are told of: those that hold most."""

_ADDRESS = re.compile(rf"{AGENTS}(?P<host>.{{1,255}})-(?P<port>[1-9][0-9]{{0,4}})")


class QueueReport(NamedTuple):
    """How one queue of a manifold does."""

    address: str
    depth: int = 0
    """Messages that are not settled."""
    in_flight: int = 0
    """Those of them that consumers hold."""
    consumers: int = 0
    """How many take from it: links that have had credit."""
    dead_letters: int = 0
    consumer: str = ""
    """Where it is pushed to, as HOST:PORT; empty: nowhere now, or it is pulled."""

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """All of it that is a number."""
        return self.depth, self.in_flight, self.consumers, self.dead_letters


def queue_reports(queues: Iterable[QueueReport]) -> dict[str, Any]:
    """What a manifold says of its queues: a map; of very many those that hold most, and how many others."""
    known = sorted(queues, key=lambda queue: (-queue.depth - queue.dead_letters, queue.address))
    told = sorted(known[:MOST_QUEUES])
    return {"queues": [queue._asdict() for queue in told], "others": len(known) - len(told)}


def queues_in(body: object) -> tuple[list[QueueReport], int]:
    """The queues that a manifold tells of, and how many there are besides.

    :raises InvalidField: when it is nothing that :func:`queue_reports` makes.
    """
    listed, others = (body.get("queues"), body.get("others")) if isinstance(body, dict) else (None, None)
    if not isinstance(listed, list) or not isinstance(others, int) or not _is_count(others):
        raise InvalidField("a manifold tells a map of queues (a list) and others (how many)")
    try:
        queues = [QueueReport(**fields) for fields in listed]
    except TypeError:
        raise InvalidField(f"a queue is a map of {', '.join(QueueReport._fields)}") from None
    for queue in queues:
        texts = isinstance(queue.address, str) and isinstance(queue.consumer, str)
        if not texts or not all(map(_is_count, queue.counts)):
            raise InvalidField(f"a queue is told by its address, counts and consumer; it is {queue!r:.200}")
    return queues, others


def place(address: str) -> tuple[str, int] | None:
    """Host and port in an agent's address, ``agents/HOST-PORT``; None for any other."""
    found = _ADDRESS.fullmatch(address)
    if found is None or not address.isprintable() or int(found["port"]) > 65535:
        return None
    return found["host"], int(found["port"])


def checked(fields: object, address: str) -> dict[str, Any]:
    """What the agent at `address` reports; `host` and `port` are those in the address.

    Text is cut to :data:`MOST_TEXT` characters. Of fields that nobody here knows, scalars are kept.

    :raises InvalidField: when a field is of the wrong type, naming it, or the address is no agent's.
    """
    where = place(address)
    if where is None:
        raise InvalidField(f"an agent's address is {AGENTS}HOST-PORT; it is {address!r:.80}")
    if not isinstance(fields, dict) or len(fields) > MOST_FIELDS:
        raise InvalidField(f"a report is a map of {MOST_FIELDS} fields at most")
    for key in ("name", "type"):
        value = fields.get(key)
        if not isinstance(value, str) or not _is_name(value):
            raise InvalidField(f"{key} must be 1 to {MOST_NAME} printable characters; it is {value!r:.80}")
    if not isinstance(fields.get("pid"), int) or not _is_number(fields["pid"]):
        raise InvalidField(f"pid must be a whole number; it is {fields.get('pid')!r:.80}")
    report: dict[str, Any] = {}
    for key, value in fields.items():
        if key in TEXTS and not isinstance(value, str):
            raise InvalidField(f"{key} must be a text; it is {value!r:.80}")
        if key in NUMBERS and value is not None and not _is_number(value):
            raise InvalidField(f"{key} must be a finite number of at most 2^53, or null; it is {value!r:.80}")
        if key == "active" and not isinstance(value, bool):
            raise InvalidField(f"active must be true or false; it is {value!r:.80}")
        if isinstance(key, str) and _is_name(key) and _is_scalar(value):
            report[str(key)] = _plain(value)
    return report | {"host": where[0], "port": where[1]}


def reports_in(body: object) -> tuple[float, list[dict[str, Any]]]:
    """The time (seconds since 1970) and the reports of a monitor's message; what is no report is left out.

    :raises InvalidField: when it is no monitor's message.
    """
    time, listed = (body.get("time"), body.get("reports")) if isinstance(body, dict) else (None, None)
    if not isinstance(listed, list) or not isinstance(time, int | float) or not 0 <= time <= LAST_TIME:
        raise InvalidField("a monitor tells a map of time (seconds since 1970) and reports (a list)")
    return float(time), list(_sound(listed))


def _sound(listed: list[Any]) -> Iterator[dict[str, Any]]:
    for fields in listed:
        try:
            yield checked(fields, AGENTS + fields["host"] + f"-{fields['port']}")
        except (InvalidField, KeyError, TypeError):
            continue  # Of others' making: ours checks what it gathers.


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= MOST_NAME and text.isprintable()


def _is_number(value: Any) -> bool:
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    return sound and math.isfinite(value) and abs(value) <= MOST_NUMBER


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value) and value >= 0


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | str) or _is_number(value)


def _plain(value: Any) -> Any:
    """Python's own type, where AMQP has several; as text, only what can be sent on."""
    if isinstance(value, str):
        return value[:MOST_TEXT].encode(errors="replace").decode()
    if value is None or isinstance(value, bool):
        return value
    return int(value) if isinstance(value, int) else float(value)
