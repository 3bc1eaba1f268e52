"""A client on Proton's MessagingHandler, as its documentation teaches: sends COUNT messages to URL.

    simple_send.py HOST:PORT/ADDRESS COUNT

It follows a redirect; prints "sent COUNT" when all are accepted.
"""

from __future__ import annotations

import sys

from proton import Message
from proton.handlers import MessagingHandler
from proton.reactor import Container


class Send(MessagingHandler):
    def __init__(self, url: str, count: int) -> None:
        super().__init__()
        self.url, self.count = url, count
        self.sent = self.accepted = 0

    def on_start(self, event) -> None:
        event.container.create_sender(self.url)

    def on_sendable(self, event) -> None:
        while event.sender.credit and self.sent < self.count:
            event.sender.send(Message(id=f"m-{self.sent}", body={"number": self.sent}))
            self.sent += 1

    def on_accepted(self, event) -> None:
        self.accepted += 1
        if self.accepted == self.count:
            print(f"sent {self.count}")
            event.connection.close()

    def on_link_error(self, event) -> None:
        error = event.link.remote_condition
        assert error.name == "amqp:link:redirect", error
        info = {str(key): value for key, value in error.info.items()}
        event.connection.close()
        event.container.create_sender(f"{info['network-host']}:{int(info['port'])}/{info['address']}")


Container(Send(sys.argv[1], int(sys.argv[2]))).run()
