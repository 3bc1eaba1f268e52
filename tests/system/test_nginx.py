"""The gateway behind nginx, as `docs/howto/tls.rst` sets that up."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import aiohttp
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

HEADER = b"AMQP\x00\x01\x00\x00"


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
        # Who dials before leaves something open that asyncio complains of, whenever it is found.
        wait_for(lambda: taken_port("127.0.0.1", port) is not None, "nginx listens")
        trust = ssl.create_default_context(cafile=str(tls / "authority.pem"))

        async def ask() -> tuple[int, bytes]:
            """The page's status, and what a service says through it to an AMQP header."""
            there = f"https://127.0.0.1:{port}"
            shown = {"Host": NAME, "Origin": f"https://{NAME}"}
            async with aiohttp.ClientSession(headers=shown) as session, asyncio.timeout(10):
                async with session.get(f"{there}/", ssl=trust, server_hostname=NAME) as response:
                    status = response.status
                key = shown_key(gateway.key)
                async with session.post(f"{there}/key", data=key, ssl=trust, server_hostname=NAME) as let_in:
                    [cookie] = let_in.headers.getall("Set-Cookie")
                assert "Secure" in cookie.split("; ")
                session.headers["Cookie"] = cookie.partition(";")[0]
                async with session.ws_connect(
                    f"{there}/amqp/outbox", ssl=trust, server_hostname=NAME, protocols=["amqp"]
                ) as websocket:
                    await websocket.send_bytes(HEADER)
                    return status, await websocket.receive_bytes()

        def came() -> tuple[int, bytes] | None:
            with contextlib.suppress(aiohttp.ClientError):
                return asyncio.run(ask())
            return None

        status, said = wait_for(came, "nginx and the gateway answer")
        assert status == 200
        assert said.startswith(HEADER)
