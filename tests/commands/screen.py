"""A real terminal for a command: what it draws there, and keys that are pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

from tests.harness import ROOT, wait_for

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """A terminal of some columns, and one command on it."""

    def __init__(self, command: list[str], columns: int = 80, lines: int = 24, **environment: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.modes = termios.tcgetattr(slave)
        self._slave = slave
        variables = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, start_new_session=True,
            env={**variables, "TERM": "xterm", **environment},
        )  # fmt: skip
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            self.output += data.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        """What was drawn last, without colours."""
        return [ESCAPE.sub("", line).rstrip() for line in self.output.split("\x1b[H")[-1].splitlines()]

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait(self, status: int) -> None:
        """It ends so, and leaves the terminal as it was."""
        assert self.process.wait(20) == status
        assert termios.tcgetattr(self._slave) == self.modes

    def wait_for(self, text: str) -> list[str]:
        """What is drawn when a line has this in it."""
        wait_for(lambda: any(text in line for line in self.lines), f"{text!r} is drawn")
        return self.lines

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self._slave)
        self._reader.join(10)  # Before another has its descriptor: it would read what is that one's.
        assert not self._reader.is_alive()
        os.close(self._master)
