"""`barker health`: true of a service that works, and of no other."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from barker.core.access import from_here
from tests.certified import certificates
from tests.harness import ROOT, Process, Suite, free_port, wait_for

pytestmark = pytest.mark.system


def health(*arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BARKER_")}
    return subprocess.run(
        [sys.executable, "-m", "barker", "health", *arguments], capture_output=True, text=True, timeout=60,
        check=False, cwd=ROOT, env=environment | {key: str(value) for key, value in variables.items()},
    )  # fmt: skip


def well(*arguments: str, **variables: object) -> str:
    """What it says in the end of a service that is well, or becomes so."""

    def said() -> str:
        done = health(*arguments, **variables)
        return done.stdout if (done.returncode, done.stderr) == (0, "") else ""

    line: str = wait_for(said, f"it is well: {arguments} {variables}")
    return line


def at(process: Process) -> tuple[str, str]:
    return "--port", str(process.port)


def test_who_answers_is_well_and_who_is_frozen_or_gone_is_not(suite: Suite) -> None:
    outbox = suite.outbox()
    assert well(*at(outbox)) == f"outbox-{outbox.port} answers at 127.0.0.1:{outbox.port}\n"
    assert well(*at(suite.directory)) == f"directory-{suite.directory.port} answers at {suite.place}\n"
    outbox.kill(signal.SIGSTOP)
    done = health(*at(outbox), "--seconds", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"barker: 127.0.0.1:{outbox.port} has not answered within 1 s")
    outbox.kill(signal.SIGCONT)
    assert well(*at(outbox))
    outbox.kill()
    done = health(*at(outbox), "--seconds", "1")
    assert done.returncode == 1
    assert f"within 1 s; nobody at 127.0.0.1:{outbox.port}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_by_the_variables_of_a_service_it_is_found_and_by_the_directory(suite: Suite) -> None:
    outbox, gateway = suite.outbox(), suite.start("gateway")
    # The key may be yet to be made.
    variables = {"BARKER_DIRECTORY": suite.place, "BARKER_KEY": "/nonexistent", "BARKER_REGISTERED": "1"}
    # Its port speaks HTTP: its agent is found by way of the directory.
    line = well(BARKER_HOST="127.0.0.1", BARKER_PORT=gateway.port, **variables)
    assert line == f"gateway-{gateway.port} answers at 127.0.0.1:{gateway.port}\n"
    assert well(BARKER_PORT=outbox.port, **variables)
    elsewhere = suite.outbox("--advertise", "localhost")
    assert well(BARKER_PORT=elsewhere.port, BARKER_ADVERTISE="localhost", **variables)
    suite.directory.kill()
    done = health("--seconds", "1", BARKER_PORT=outbox.port, **variables)
    assert done.returncode == 1
    assert f"nobody at {suite.place}" in done.stderr
    # Whom nobody finds is not for that to be started again.
    assert well(BARKER_PORT=outbox.port)


def test_where_tls_is_spoken_a_service_asks_itself_with_its_own_certificate(tmp_path: Path) -> None:
    tls = certificates(tmp_path / "tls")
    suite = Suite(tmp_path, tls)
    try:
        outbox, gateway = suite.outbox(), suite.start("gateway")
        for process, name in ((outbox, "outbox"), (gateway, "gateway")):
            own = {"BARKER_TLS": tls, "BARKER_CERTIFICATE": tls / f"service-{name}.pem"}
            more = {"BARKER_REGISTERED": "1", "BARKER_DIRECTORY": suite.place} if name == "gateway" else {}
            assert well(BARKER_HOST="127.0.0.1", BARKER_PORT=process.port, **own, **more)
        assert health(*at(outbox), "--seconds", "1").returncode == 1
    finally:
        suite.end()


def test_a_port_that_speaks_something_else_is_no_service_that_is_well() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        done = health("--port", str(silent.getsockname()[1]), "--seconds", "1")
    assert (done.returncode, done.stdout) == (1, "")
    done = health()
    assert done.returncode == 2
    assert "Missing option '--port'" in done.stderr


def test_who_listens_at_every_address_is_dialled_at_one() -> None:
    assert [from_here(host) for host in ("0.0.0.0", "::", "10.0.0.7", "outbox-1")] == [
        "127.0.0.1", "::1", "10.0.0.7", "outbox-1",
    ]  # fmt: skip
