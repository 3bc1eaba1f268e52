"""Who may sign in by a password, in a file: a line for each time that somebody got one, or lost it.

A line is added at once or not at all, and the last one about a name counts. So the file can be read at any
time, and who removes somebody need not start anything again.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from barker.core.access import check_alone
from barker.core.errors import Mistake
from barker.core.passwords import SALT_BYTES, checked_password, kept, matches, nobodys

FILE_NAME = "people"

_NOBODY = "-"
"""In place of what is kept of a password: that user has none any more."""

_CUT = " was cut off\n"


class Accounts:
    """Those of a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def there(self) -> bool:
        """Whether anybody has ever had a password."""
        return self.file.exists()

    def names(self) -> list[str]:
        """Who has a password, by name.

        :raises Mistake: when the file cannot be read, or others can read it.
        """
        return sorted(self._read())

    def add(self, name: str, password: str) -> None:
        """From now on that is the password of the user `name`.

        :raises Mistake: when it may not be one, or the file cannot be written.
        """
        self._write(name, kept(checked_password(password), secrets.token_bytes(SALT_BYTES)))

    def remove(self, name: str) -> None:
        """`name` has no password from now on; connections that stand go on.

        :raises Mistake: when `name` had none, or the file cannot be read or written.
        """
        if name not in self._read():
            raise Mistake(f"{name} has no password in {self.file}")
        self._write(name, _NOBODY)

    def knows(self, name: str) -> bool:
        """Whether `name` has a password; not, while the file cannot be read."""
        try:
            return name in self._read()
        except Mistake:
            return False

    def check(self, name: str, password: str) -> bool:
        """Whether that is the password of `name`.

        :raises Mistake: when the file cannot be read, or others can read it.
        """
        # Also for names that are not there: how long an answer takes tells nobody who is.
        return matches(password, self._read().get(name) or nobodys())

    def _read(self) -> dict[str, str]:
        try:
            mode = self.file.stat().st_mode
            text = self.file.read_text()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise Mistake(f"{self.file}: {getattr(error, 'strerror', None) or 'it is no text'}") from None
        check_alone(self.file, mode)
        lines = (line.split() for line in text.split("\n")[:-1])
        last = {line[0]: line[1] for line in lines if len(line) == 2}
        return {name: word for name, word in last.items() if word != _NOBODY}

    def _write(self, name: str, word: str) -> None:
        try:
            descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                whole = not size or os.pread(descriptor, 1, size - 1) == b"\n"
                # A disk that was full has cut the last line: it is ended so that it says nothing.
                line = f"{'' if whole else _CUT}{name} {word}\n".encode()
                if os.write(descriptor, line) < len(line):
                    raise Mistake(f"{self.file}: the disk is full")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Mistake(f"{self.file}: {error.strerror}; who may sign in is kept there") from None
