"""The real suite in one process, on virtual time: what happens, and when, comes of one seed.

`world.py` is time and chance; `network.py` its sockets, `disk.py` its disks, `simulated.py` its processes,
each of which runs a real service; `suite.py` is made of them, and is struck as `barker chaos` strikes real
ones.
`plan.py` is what a run is made of, `simulation.py` a run, `shrink.py` makes one that fails small.
"""
