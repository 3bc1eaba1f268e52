"""What can go wrong, as one small tree.

::

    BarkerError
    ├── PeerError               what a peer did; carries the AMQP condition that the peer is told
    │   ├── NotFound            amqp:not-found
    │   │   └── NoSuchUser
    │   ├── NotAllowed          amqp:not-allowed
    │   ├── Held                amqp:resource-locked
    │   ├── OtherData           barker:other-data
    │   ├── NotSupported        amqp:not-implemented
    │   ├── InvalidField        amqp:invalid-field
    │   ├── DecodeError         amqp:decode-error
    │   ├── MessageTooLarge     amqp:link:message-size-exceeded
    │   ├── TransferLimitExceeded  amqp:link:transfer-limit-exceeded
    │   └── Redirect            amqp:link:redirect
    ├── Mistake                 what a person did; a program prints it and ends with status 2
    ├── Unanswered              nobody has answered in time; status 69
    ├── Interrupted             a signal has ended it; status 128 and the signal's number
    └── StorageError            a file that cannot be read or written; names the file
        ├── InUse               another process has it open
        ├── Away                a database that cannot be reached now
        └── Damaged             what is in it is not what was written

A peer's error closes its link, or rejects its delivery, and nothing else.
"""

from __future__ import annotations


class BarkerError(Exception):
    """The root of all errors that Barker raises on purpose."""

    status = 1
    """What a program that it ends has for its exit status."""


class PeerError(BarkerError):
    """Something a peer did that its link or delivery ends with (AMQP 1.0 §2.8.14)."""

    condition = "amqp:internal-error"

    @property
    def description(self) -> str:
        """What was wrong, in a sentence for the peer's developer."""
        return str(self)

    @property
    def info(self) -> dict[str, str | int]:
        """Further fields for the error's info map; empty for most."""
        return {}


class NotFound(PeerError):
    """Nobody here knows that address or user (AMQP 1.0 §2.8.15)."""

    condition = "amqp:not-found"


class NoSuchUser(NotFound):
    """There is no user of that name; users exist when they are made or imported."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no user {name!r:.80}; 'barker users' makes and imports them, and lists who is there"
        )
        self.name = name

    @property
    def info(self) -> dict[str, str | int]:
        """``user``: the name."""
        return {"user": self.name}


def not_here(address: str, here: str) -> NotFound:
    """The error for an address that is not served here; `here` says what is."""
    return NotFound(f"{address} is not here; {here}")


class NotAllowed(PeerError):
    """The address exists, but not for this use."""

    condition = "amqp:not-allowed"


class Unauthorized(PeerError):
    """The address is not for this peer (AMQP 1.0 §2.8.15)."""

    condition = "amqp:unauthorized-access"


class NotAuthentic(PeerError):
    """A peer is not who it says it is, or it cannot be told (AMQP 1.0 §5.3.3.6)."""

    condition = "barker:not-authentic"


class Held(PeerError):
    """Another has what the peer wants, and keeps it for as long as it is there (AMQP 1.0 §2.8.15)."""

    condition = "amqp:resource-locked"


class OtherData(PeerError):
    """A service that works on something else than those who serve its address: it never will."""

    condition = "barker:other-data"


class NotSupported(PeerError):
    """A part of AMQP that Barker does not have, such as transactions or dynamic nodes."""

    condition = "amqp:not-implemented"


class InvalidField(PeerError):
    """A message or an attach has a field that breaks the rules."""

    condition = "amqp:invalid-field"


class DecodeError(PeerError):
    """Bytes that are no AMQP message."""

    condition = "amqp:decode-error"


class MessageTooLarge(PeerError):
    """A message above the link's max-message-size (AMQP 1.0 §2.8.17)."""

    condition = "amqp:link:message-size-exceeded"


class TransferLimitExceeded(PeerError):
    """A peer that sends more than it has credit for (AMQP 1.0 §2.8.17)."""

    condition = "amqp:link:transfer-limit-exceeded"


class LimitExceeded(PeerError):
    """A peer wants more than one may have here."""

    condition = "amqp:resource-limit-exceeded"


class Redirect(PeerError):
    """The address is served elsewhere (AMQP 1.0 §2.8.18)."""

    condition = "amqp:link:redirect"

    def __init__(self, host: str, port: int, address: str) -> None:
        super().__init__(f"{address} is served at {host}:{port}")
        self.host, self.port, self.address = host, port, address

    @property
    def info(self) -> dict[str, str | int]:
        """Where to: ``network-host``, ``port`` and ``address``."""
        return {"network-host": self.host, "port": self.port, "address": self.address}


class Mistake(BarkerError):
    """A wrong option, a port in use, a missing file: what a person can put right."""

    status = 2


class Unanswered(BarkerError):
    """Nobody has answered in time."""

    status = 69
    """EX_UNAVAILABLE of sysexits.h."""


class Interrupted(BarkerError):
    """Somebody has ended a program before it was done; says what it has not done, if there is something."""

    def __init__(self, number: int, undone: str = "") -> None:
        """`number` is the signal's."""
        super().__init__(f"interrupted: {undone}" if undone else "")
        self.status = 128 + number


class StorageError(BarkerError):
    """A file that cannot be read or written; the message names it and says what to do."""


class InUse(StorageError):
    """A file that another process has open, or writes to just now."""


class Away(StorageError):
    """A database that cannot be reached now; the message says why."""


class Damaged(StorageError):
    """A file that holds something else than what was written into it: by a disk, or by whoever had it."""

    def __init__(self, file: object, why: str, remedy: str) -> None:
        super().__init__(f"{file} is damaged ({why}): {remedy}")
        self.why = why
