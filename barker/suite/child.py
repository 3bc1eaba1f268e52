"""One process of a suite: started, sent signals, and buried."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

from barker.amqp.agent import LAUNCHED
from barker.amqp.system import clock
from barker.core.keeper import Keeper
from barker.suite.shape import Program


def inherited() -> dict[str, str]:
    """Our environment, without what are options of ours: a child's are on its command line."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BARKER_")}


class Child:
    """One program that was started, and may be started again."""

    def __init__(self, program: Program, pipe: Callable[[str], int] | None = None) -> None:
        """`pipe`, with its name, makes a file for its standard error; without, that is the launcher's."""
        self.program, self._pipe = program, pipe
        self.frozen = False
        self.stopped = False
        """Whether it was told to end: then nobody starts it again by himself."""
        self.due = False
        """Whether it is to begin anew as soon as it has ended."""
        self.added = False
        """Whether it came to the suite later, by an order."""
        self.keeper = Keeper()
        self._popen: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def pid(self) -> int:
        """The process id; that of the last process once it is gone."""
        return self._pid

    @property
    def runs(self) -> bool:
        """Whether its process has not ended."""
        return self._popen is not None

    @property
    def state(self) -> str:
        """``running``, ``frozen`` or ``gone``."""
        return ("frozen" if self.frozen else "running") if self.runs else "gone"

    def start(self) -> None:
        """Start the process; it ends when its standard input does."""
        stderr = self._pipe(self.program.name) if self._pipe is not None else None
        try:
            self._popen = self._process(stderr)
        finally:
            if stderr is not None:
                os.close(stderr)
        self._pid, self.frozen, self.stopped, self.due = self._popen.pid, False, False, False
        self.keeper.started(clock())

    def _process(self, stderr: int | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.program.command,
            stdin=subprocess.PIPE,
            stderr=stderr,
            env={**inherited(), **dict(self.program.variables), LAUNCHED: self.program.name},
            start_new_session=True,  # Ctrl-C is for the launcher, which ends them in its own order.
        )

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self._popen is not None:
            self._popen.send_signal(number)
            if number in (signal.SIGSTOP, signal.SIGCONT):
                self.frozen = number == signal.SIGSTOP

    def ended(self) -> str:
        """How its process ended, told once; empty while it runs, and after."""
        status = self._popen.poll() if self._popen is not None else None
        if status is None:
            return ""
        self._bury()
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; whether it did. After that, it is killed."""
        if self._popen is None:
            return True
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            return False
        finally:
            self._bury()
        return True

    def _bury(self) -> None:
        if self._popen is not None and self._popen.stdin is not None:
            self._popen.stdin.close()
        self._popen = None
