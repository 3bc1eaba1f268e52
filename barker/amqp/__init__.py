"""How Barker speaks AMQP 1.0: Proton's protocol engine, an epoll reactor, links that find their peer."""
