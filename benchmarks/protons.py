"""The two ends of a hop with Proton's own Python classes: plain handlers, and undecoded messages."""

from __future__ import annotations

import itertools
from typing import Any

from proton import Delivery, Endpoint, Event
from proton import Handler as PlainHandler
from proton.reactor import Container

from barker.amqp.links import Place
from benchmarks.ends import AHEAD, LOOK_SECONDS, RECEIVED, SENT, WINDOW, message
from benchmarks.stand import HOST, end_with_parent


class _Sends(PlainHandler):
    def __init__(self, counts: Any, place: Place, address: str) -> None:
        super().__init__()
        self._counts, self._place, self._address = counts, place, address
        self._message, self._tags = message(), itertools.count()
        self._link: Any = None

    def on_reactor_init(self, event: Event) -> None:
        connection = event.container.connect(str(self._place), allowed_mechs="ANONYMOUS")
        event.container.create_sender(connection, self._address, handler=self)
        event.container.schedule(LOOK_SECONDS, self)

    def on_link_flow(self, event: Event) -> None:
        self._link = event.link
        self._more()

    def on_timer_task(self, event: Event) -> None:
        self._more()
        event.container.schedule(LOOK_SECONDS, self)

    def on_delivery(self, event: Event) -> None:
        if event.delivery.updated:
            event.delivery.settle()

    def _more(self) -> None:
        counts, link = self._counts, self._link
        while link is not None and link.credit > 0 and counts[SENT] - counts[RECEIVED] < AHEAD:
            link.delivery(str(next(self._tags)))
            link.send(self._message)
            link.advance()
            counts[SENT] += 1


class _Receives(PlainHandler):
    def __init__(self, counts: Any) -> None:
        super().__init__()
        self._counts = counts
        self._owed = 0

    def on_link_remote_open(self, event: Event) -> None:
        link = event.link
        if link.state & Endpoint.LOCAL_UNINIT:
            link.target.copy(link.remote_target)
            link.open()
        link.flow(WINDOW)

    def on_delivery(self, event: Event) -> None:
        delivery, link = event.delivery, event.link
        if delivery.readable and not delivery.partial:
            link.recv(delivery.pending)
            link.advance()
            delivery.update(Delivery.ACCEPTED)
            delivery.settle()
            self._counts[RECEIVED] += 1
            self._owed += 1
            if self._owed >= WINDOW // 4:
                link.flow(self._owed)
                self._owed = 0


class _Dials(_Receives):
    def __init__(self, counts: Any, place: Place, address: str) -> None:
        super().__init__(counts)
        self._place, self._address = place, address

    def on_reactor_init(self, event: Event) -> None:
        connection = event.container.connect(str(self._place), allowed_mechs="ANONYMOUS")
        event.container.create_receiver(connection, self._address, handler=self)


class _Listens(_Receives):
    def __init__(self, counts: Any, port: int) -> None:
        super().__init__(counts)
        self._port = port

    def on_reactor_init(self, event: Event) -> None:
        event.container.listen(f"{HOST}:{self._port}")

    def on_connection_remote_open(self, event: Event) -> None:
        event.connection.open()

    def on_session_remote_open(self, event: Event) -> None:
        event.session.open()


def send(counts: Any, place: Place, address: str) -> None:
    """A process that sends to an address at a place."""
    _run(_Sends(counts, place, address))


def receive(counts: Any, place: Place, address: str) -> None:
    """A process that receives from an address at a place."""
    _run(_Dials(counts, place, address))


def listen(counts: Any, port: int) -> None:
    """A process that takes what others send to a port."""
    _run(_Listens(counts, port))


def _run(handler: PlainHandler) -> None:
    end_with_parent()
    Container(handler).run()
