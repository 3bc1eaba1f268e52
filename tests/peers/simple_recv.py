"""A client on Proton's MessagingHandler, as its documentation teaches: receives COUNT messages from URL.

    simple_recv.py HOST:PORT/ADDRESS COUNT

It follows a redirect; prints the number in each message.
"""

from __future__ import annotations

import sys

from proton.handlers import MessagingHandler
from proton.reactor import Container


class Receive(MessagingHandler):
    def __init__(self, url: str, count: int) -> None:
        super().__init__()
        self.url, self.count, self.received = url, count, 0

    def on_start(self, event) -> None:
        event.container.create_receiver(self.url)

    def on_message(self, event) -> None:
        print(event.message.body["number"], flush=True)
        self.received += 1
        if self.received == self.count:
            event.receiver.close()
            event.connection.close()

    def on_link_error(self, event) -> None:
        error = event.link.remote_condition
        assert error.name == "amqp:link:redirect", error
        info = {str(key): value for key, value in error.info.items()}
        event.connection.close()
        event.container.create_receiver(f"{info['network-host']}:{int(info['port'])}/{info['address']}")


Container(Receive(sys.argv[1], int(sys.argv[2]))).run()
