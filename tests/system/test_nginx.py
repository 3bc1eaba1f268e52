"""The gateway behind nginx, as `docs/howto/tls.rst` sets that up."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path

import pytest

from barker.amqp.reactor import taken_port
from barker.core.access import service
from barker.store.authority import Authority
from tests.certified import certificates
from tests.harness import ROOT, Suite, free_port, shown_key, wait_for
from tests.printed import blocks

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(NGINX is None, reason="there is no nginx (Debian, Ubuntu: apt-get install nginx)"),
]

NAME = "barker.example"


def configuration(folder: Path, tls: Path, port: int, gateway: int) -> str:
    """What the page prints, with the test's own places in it."""
    page = (ROOT / "docs" / "howto" / "tls.rst").read_text()
    printed = next("\n".join(lines) for _, lines in blocks(page) if lines[0].startswith("map "))
    own = str(tls / "service-nginx.pem")
    for there, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/barker.example.pem", own),
        ("/etc/ssl/barker.example.key", own),
        ("127.0.0.1:5673", f"127.0.0.1:{gateway}"),
        ("/home/ark3/barker/tls/authority.pem", str(tls / "authority.pem")),
    ):
        assert there in printed
        printed = printed.replace(there, here)
    temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{name}_temp_path {folder / name};" for name in temporary)
    main = f"daemon off; pid {folder / 'pid'}; error_log {folder / 'error.log'}; events {{}}"
    return f"{main} http {{ access_log off; {places}\n{printed} }}"


def test_the_page_and_its_websockets_come_through(tmp_path: Path) -> None:
    assert NGINX is not None
    tls, port = certificates(tmp_path / "tls"), free_port()
    Authority(tls).add(service("nginx"), [NAME], 1, time.time())
    with contextlib.ExitStack() as ends:
        suite = Suite(tmp_path, tls)
        ends.callback(suite.end)
        suite.outbox()
        gateway = suite.start("gateway", "--allow-host", NAME)
        wait_for(lambda: "gateway serves https://" in gateway.log, "the gateway listens")
        file = tmp_path / "nginx.conf"
        file.write_text(configuration(tmp_path, tls, port, gateway.port or 0))
        log = tmp_path / "error.log"
        nginx = subprocess.Popen([NGINX, "-c", str(file), "-p", str(tmp_path), "-e", str(log)])
        ends.callback(nginx.wait, 10)
        ends.callback(nginx.terminate)
        wait_for(lambda: taken_port("127.0.0.1", port) is not None, "nginx listens")
        trust = ssl.create_default_context(cafile=str(tls / "authority.pem"))

        there = {"Host": NAME, "Origin": f"https://{NAME}"}

        def asked(method: str, path: str, body: str = "", **headers: str) -> HTTPResponse:
            """What is answered through nginx; the connection is the answer's, and ends with all."""
            connection = HTTPSConnection("127.0.0.1", port, timeout=10, context=trust)
            ends.callback(connection.close)
            raw = socket.create_connection(("127.0.0.1", port), 10)
            connection.sock = trust.wrap_socket(raw, server_hostname=NAME)
            connection.request(method, path, body, there | headers)
            return connection.getresponse()

        def served() -> bool:
            with contextlib.closing(asked("GET", "/")) as page:
                return page.status == 200

        wait_for(served, "the gateway answers through nginx")
        cookie = asked("POST", "/key", shown_key(gateway.key)).getheader("Set-Cookie") or ""
        assert "Secure" in cookie.split("; ")
        shake = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "amqp",
        }

        def joined() -> bool:
            """Whether a service has taken the connection: before that the gateway takes no WebSocket."""
            answer = asked("GET", "/amqp/outbox", Cookie=cookie.partition(";")[0], **shake)
            return (answer.status, answer.getheader("Sec-WebSocket-Protocol")) == (101, "amqp")

        wait_for(joined, "a WebSocket comes through")
