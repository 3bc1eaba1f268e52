"""A PostgreSQL of a test's own, on loopback: started, stopped, killed, frozen, cut off."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest

from barker.core.postgresql_url import PostgresUrl
from tests.harness import free_port, wait_for

PASSWORD = "s3cret@woof"
"""Of the role that tests connect as."""

_USER = "postgres" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root."""


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        pytest.fail("there is no PostgreSQL here: 'make test-scale' brings it")
    return str(found[-1])


class Postgres:
    """One server."""

    def __init__(self, port: int | None = None) -> None:
        # Not among pytest's folders, which nobody but their owner may enter.
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="barker-postgresql-")), port or free_port()
        password = self.folder / "password"
        password.write_text(PASSWORD)
        for file in (self.folder, password) if _USER is not None else ():
            os.chown(file, pwd.getpwnam(_USER).pw_uid, -1)
        data = str(self.folder / "data")
        self._run(
            _program("initdb"), "-D", data, "-U", "barker", "--pwfile", str(password), "-A", "scram-sha-256",
            "-E", "UTF8", "--locale", "C", "--no-sync",
        )  # fmt: skip
        self._command = [
            _program("postgres"), "-D", data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
            "-c", f"unix_socket_directories={self.folder}", "-c", "shared_buffers=16MB",
            "-c", "fsync=off",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute("CREATE DATABASE barker")

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, user=_USER, cwd=self.folder, capture_output=True, check=False, text=True
        )
        assert done.returncode == 0, done.stderr

    def url(self, database: str = "barker", password: str = PASSWORD) -> str:
        secret = f":{password.replace('@', '%40')}" if password else ""
        return f"postgresql://barker{secret}@127.0.0.1:{self.port}/{database}"

    @property
    def place(self) -> PostgresUrl:
        return PostgresUrl.parse(self.url())

    def fresh(self) -> PostgresUrl:
        """Its database, as empty as it was at first."""
        with psycopg.connect(self.url(), autocommit=True) as db:
            db.execute("DROP SCHEMA IF EXISTS barker CASCADE")
        return self.place

    # What is done to it

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, user=_USER, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_for(self._answers, "PostgreSQL answers", 60)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            return True
        return False

    def _signal(self, number: int) -> list[psutil.Process]:
        """Send all its processes a signal, the first one first; who they are."""
        assert self._process is not None
        first = psutil.Process(self._process.pid)
        all_of_them = [first, *first.children()]
        for each in all_of_them:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(number)
        return all_of_them

    def stop(self) -> None:
        """End it at once, in good order."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)

    def kill(self) -> None:
        """Its processes end without a word, all of them."""
        psutil.wait_procs(self._signal(signal.SIGKILL), 30)
        assert self._process is not None
        self._process.wait(30)

    def freeze(self) -> None:
        """Whoever asks it gets no answer, and whoever connects is not greeted."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.folder)
