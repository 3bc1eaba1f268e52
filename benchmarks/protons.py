"""A direct link between Proton's own Python classes, with plain handlers and undecoded messages."""

from __future__ import annotations

import itertools
from typing import Any

from proton import Delivery, Endpoint, Event
from proton import Handler as PlainHandler
from proton.reactor import Container

from barker.amqp.links import Place
from benchmarks.ends import RECEIVED, SENT, WINDOW, message
from benchmarks.stand import end_with_parent


class _Sends(PlainHandler):
    def __init__(self, counts: Any, place: Place) -> None:
        super().__init__()
        self._counts, self._place = counts, place
        self._message, self._tags = message(), itertools.count()

    def on_reactor_init(self, event: Event) -> None:
        connection = event.container.connect(str(self._place), reconnect=False)
        event.container.create_sender(connection, "sink", handler=self)

    def on_link_flow(self, event: Event) -> None:
        link = event.link
        while link.credit > 0:
            link.delivery(str(next(self._tags)))
            link.send(self._message)
            link.advance()
            self._counts[SENT] += 1

    def on_delivery(self, event: Event) -> None:
        if event.delivery.updated:
            event.delivery.settle()


class _Receives(PlainHandler):
    def __init__(self, counts: Any, port: int) -> None:
        super().__init__()
        self._counts, self._port = counts, port
        self._owed = 0

    def on_reactor_init(self, event: Event) -> None:
        event.container.listen(f"127.0.0.1:{self._port}")

    def on_connection_remote_open(self, event: Event) -> None:
        event.connection.open()

    def on_session_remote_open(self, event: Event) -> None:
        event.session.open()

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


def send(counts: Any, place: Place) -> None:
    """A process that sends to a place, until it is killed."""
    end_with_parent()
    Container(_Sends(counts, place)).run()


def listen(counts: Any, port: int) -> None:
    """A process that takes what is sent to a port, until it is killed."""
    end_with_parent()
    Container(_Receives(counts, port)).run()
