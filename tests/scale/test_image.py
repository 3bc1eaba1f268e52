"""The image: what is in it, who it is, and that its healthcheck is true."""

from __future__ import annotations

import subprocess

import psutil
import pytest

from tests.dockerfile import Ignored, Stage
from tests.harness import ROOT, free_port, wait_for
from tests.scale.linters import done, tool

pytest_plugins = ["tests.scale.image"]

pytestmark = [pytest.mark.system, pytest.mark.timeout(3000)]  # Whoever is first makes the image.


def test_hadolint_finds_nothing() -> None:
    done(tool("hadolint"), str(ROOT / "Dockerfile"))


def test_it_has_all_that_barker_needs_and_nothing_that_builds(image: Stage) -> None:
    said = image.run("barker", "doctor").stdout
    assert "the pages: all there" in said
    assert "WRONG" not in said
    for name in ("gcc", "make", "npm", "pip"):
        assert image.run("sh", "-c", f"command -v {name}").returncode != 0, name
    done = image.run("barker", "certs", "init", "tls", "--host", "outbox-1")
    assert (done.returncode, done.stderr) == (0, "")  # With TLS.
    image.says["ENTRYPOINT"] = ["barker"]
    assert image.run(*image.says["ENTRYPOINT"], *image.says["CMD"]).stdout.startswith("Usage: barker ")


def test_its_user_is_not_root_and_owns_the_data_alone(image: Stage) -> None:
    assert image.run("id", "-u").stdout == "10001\n"
    data = image.path("")
    assert (data.stat().st_uid, data.stat().st_mode & 0o777) == (10001, 0o700)
    assert image.run("touch", "/opt/barker/bin/barker", "/etc/passwd").returncode != 0


def test_its_services_run_and_its_healthcheck_is_true(image: Stage) -> None:
    directory, gateway = free_port(), free_port()
    where = {"BARKER_DIRECTORY": f"127.0.0.1:{directory}", "BARKER_TLS": "tls"}
    own = {
        "directory": where | {"BARKER_PORT": directory, "BARKER_CERTIFICATE": "tls/service-directory.pem"},
        "gateway": where
        | {"BARKER_PORT": gateway, "BARKER_CERTIFICATE": "tls/service-gateway.pem", "BARKER_REGISTERED": 1},
    }
    image.run("barker", "certs", "init", "tls")

    def well(name: str) -> bool:
        return image.run(*image.says["HEALTHCHECK"], **own[name]).returncode == 0

    assert not well("directory")
    running = []
    try:
        for name in own:
            command = image.command(*image.says["ENTRYPOINT"], name, **own[name])
            running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        for name, process in zip(own, running, strict=True):
            wait_for(lambda name=name: well(name), f"the {name} is well", 60)
            assert psutil.Process(process.pid).uids().real == 10001
        running[0].terminate()
        assert running[0].wait(20) == 0
        assert not well("directory")
    finally:
        for process in running:
            process.kill()
            process.wait(10)


def test_what_is_ignored_is_as_an_engine_has_it() -> None:
    ignored = Ignored("# all but\n*\n!barker\n!webui\n**/__pycache__\n**/*.py[cod]\n**/session*.js\n")
    kept = ("barker", "barker/core/barks.py", "webui/index.html", "webui/sessions/a.js")
    out = (".git", "tests/x.py", "barker/__pycache__", "barker/core/__pycache__/a.pyc", "barker/a.pyc")
    assert [path for path in (*kept, *out, "webui/session.js", "webui/session-1.js") if path in ignored] == [
        *out, "webui/session.js", "webui/session-1.js",
    ]  # fmt: skip
