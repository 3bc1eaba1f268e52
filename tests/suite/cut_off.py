"""Cuts a repartition off at each of its steps, by kill -9, and does it again.

``python -m tests.suite.cut_off FOLDER PARTITIONS INBOXES``. A step is whatever changes files: a transaction,
the end of a journal, a name. Of each it prints ``ok``, or what is otherwise than without it. It forks, so it
is a process of its own, without threads.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from barker.store.journal import Journal
from barker.suite.division import repartition
from barker.suite.journals import take_over
from barker.suite.shape import Shape
from tests.suite.held import Held, held


def cut_off_at(step: int, what: Callable[[], object]) -> bool:
    """Do `what` in a child that is killed just before that step; whether there was such a step."""
    pid = os.fork()
    if not pid:
        steps = itertools.count()

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                if next(steps) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return call

        for owner, name in (
            (Journal, "_write"),
            (Journal, "close"),
            (os, "replace"),
            (os, "unlink"),
            (os, "rename"),
        ):
            setattr(owner, name, counted(getattr(owner, name)))
        what()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def main(folder: Path, partitions: int, inboxes: int) -> None:
    """Try every step."""
    wanted: Held | None = None
    for step in itertools.count(-1):
        copy = folder.with_name(f"{folder.name}-{step}")
        shutil.copytree(folder, copy)
        cut = cut_off_at(step, lambda copy=copy: repartition(copy, partitions, inboxes))
        if step < 0:
            wanted = held(copy, partitions, inboxes)
        elif not cut:
            return
        else:
            repartition(copy, partitions, inboxes)
            found = held(copy, partitions, inboxes)
            take_over(Shape(data=copy, partitions=partitions, inboxes=inboxes))
            print("ok" if found == wanted else f"step {step}: {found} is not {wanted}")
        shutil.rmtree(copy)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
