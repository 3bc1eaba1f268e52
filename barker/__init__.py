"""Barker: AMQP 1.0 microservices that do what Twitter did in 2012.

The way of a bark, and the files in the order it travels::

    bark.py, autobark.py, the web page   a client makes a bark (core/barks.py, amqp/message.py)
    manifold.py (the outbox)             journals it, accepts it, pushes it on (manifolds/queues.py)
    bizlogic.py                          works out who must see it (work/spreading.py)
    manifold.py (the inbox)              journals it, puts it on timelines (manifolds/readers.py)
    listen.py, the web page              read a timeline

Everyone finds everyone through directory.py (core/routing.py); launcher.py starts it all (suite/).
"""

__version__ = "0.1.0"
