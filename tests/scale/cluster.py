"""Reads "From a laptop to a cluster" as printed, with the engines that it names at their usual ports.

``unshare --net -- python -m tests.scale.cluster``
"""

from __future__ import annotations

import contextlib
import os
import sys

from tests.printed import ROOT, bring_up_loopback, main
from tests.scale.postgresql import PASSWORD, Postgres
from tests.scale.rabbitmq import Node

if __name__ == "__main__":
    bring_up_loopback()
    os.environ["PGPASSWORD"] = PASSWORD
    with contextlib.ExitStack() as engines:
        engines.callback(Postgres(5432).end)
        node = Node(5692)
        engines.callback(node.end)
        node.start()
        sys.exit(main(ROOT / "docs" / "howto" / "cluster.rst"))
