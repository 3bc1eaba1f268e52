"""The suite of `compose.yaml`, without an engine: what compose would start is started, in the image.

Each service has its command, variables, user, volumes and healthcheck, and is on a host of its own that its
name stands for. nginx is this machine's, with the template that its container has.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from barker.web import metrics
from tests.dockerfile import Stage
from tests.harness import ROOT, wait_for
from tests.scale.forward import forwarded
from tests.scale.hosts import Host, hosts, needs_hosts
from tests.scale.linters import documents, done, tool
from tests.scale.postgresql import Postgres
from tests.scale.rabbitmq import Node
from tests.scale.web import ask

pytest_plugins = ["tests.scale.image"]

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]  # Whoever is first makes the image.


def composed(profile: str = "", *options: str, **variables: str) -> dict[str, Any]:
    """The services that compose would start, as it has read them."""
    environment = {"PATH": os.environ["PATH"], "HTTPS_PORT": "8443", **variables}
    compose = [tool("docker-compose"), "-f", "compose.yaml", *options]
    [read] = documents(done(*compose, "config", env=environment))
    services: dict[str, Any] = read["services"]
    return {
        name: service for name, service in services.items() if profile in service.get("profiles", [""])
    }  # fmt: skip


@pytest.fixture
def network(image: Stage) -> Iterator[dict[str, Host]]:
    """A host for each service, by whose name the others find it."""
    names = [*composed(), *composed("operator"), *composed("scale")]
    with hosts(len(names)) as made:
        there = dict(zip(names, made, strict=True))
        lines = (f"{host.address} {name}\n" for name, host in there.items())
        image.path("/etc/hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
        yield there


class Volumes:
    """Folders in place of an engine's volumes, by their names."""

    def __init__(self, image: Stage, folder: Path) -> None:
        self._image, self._folder = image, folder

    def of(self, service: dict[str, Any], host: Host | None = None) -> Stage:
        """A container of that service: a new volume is like the folder of the image that it covers."""
        mounted = {}
        for volume in service["volumes"]:
            name, inside, *_ = volume.split(":")
            if name.startswith("/"):
                outside = Path(name)
            else:
                outside, covered = self._folder / name, self._image.path(inside)
                if not outside.exists():
                    outside.mkdir()
                    like = covered.stat() if covered.exists() else outside.stat()
                    os.chown(outside, like.st_uid, like.st_gid)
                    outside.chmod(like.st_mode)
            mounted[inside] = outside
        within = tuple(host.within) if host is not None else ()
        return replace(
            self._image, volumes=mounted, within=within, read_only=bool(service.get("read_only"))
        )  # fmt: skip


def words(service: dict[str, Any], key: str) -> list[str]:
    found = service.get(key) or []
    return found if isinstance(found, list) else shlex.split(found)


def prepared(volumes: Volumes, prepare: dict[str, Any]) -> Stage:
    """The container that makes what there is before the first start, when it has done that."""
    root = replace(volumes.of(prepare), user=prepare["user"])
    made = root.run(*words(prepare, "entrypoint"), **prepare["environment"])
    assert (made.returncode, made.stderr) == (0, "")
    return root


@contextlib.contextmanager
def started(volumes: Volumes, services: dict[str, Any], network: dict[str, Host]) -> Iterator[dict[str, Any]]:
    """Those of the services that are Barker's; within it they run, and are well."""
    ours = {name: service for name, service in services.items() if service["image"] == "barker"}
    del ours["prepare"]
    with contextlib.ExitStack() as ends:
        asking = {}
        for name, service in ours.items():
            container, variables = volumes.of(service, network[name]), service["environment"]
            assert container.read_only
            says = container.says
            command = container.command(*says["ENTRYPOINT"], *words(service, "command"), **variables)
            running = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            ends.callback(running.wait, 20)
            ends.callback(running.terminate)
            asking[name] = partial(container.run, *says["HEALTHCHECK"], **variables)
        for name, ask_it in asking.items():
            wait_for(lambda ask_it=ask_it: ask_it().returncode == 0, f"{name} is well", 60)
        yield ours


def bark(container: Stage, variables: dict[str, str]) -> None:
    """Somebody barks, and the bark is on a timeline."""
    barker = partial(container.run, "barker", **variables)
    said = barker("bark", "ark3", "Woof in a container")
    assert said.stdout.startswith("accepted by the outbox at outbox-"), said.stderr

    def there() -> bool:
        return "Woof in a container" in barker("listen", "ark3", "--count", "1").stdout

    wait_for(there, "the bark is there")


@needs_hosts
def test_what_compose_starts_is_a_suite(image: Stage, network: dict[str, Host], tmp_path: Path) -> None:
    services, volumes = composed(), Volumes(image, tmp_path)
    prepare = services["prepare"]
    root = prepared(volumes, prepare)
    prepared(volumes, prepare)  # When all is there already.
    key = tmp_path / "keys" / "key"
    assert (key.stat().st_uid, key.stat().st_mode & 0o777) == (10001, 0o600)
    assert not list((tmp_path / "keys").rglob("authority.key"))
    certificate = tmp_path / "keys" / "tls" / "service-outbox.pem"
    before = certificate.read_bytes()
    assert root.run("barker", "certs", "renew", "/etc/authority").returncode == 0
    assert root.run(*words(prepare, "entrypoint"), **prepare["environment"]).returncode == 0
    assert certificate.read_bytes() != before

    [operator] = composed("operator").values()
    with contextlib.ExitStack() as ends:
        ours = ends.enter_context(started(volumes, services, network))
        bark(volumes.of(operator, network["operator"]), operator["environment"])
        url, authority = scraped()
        # In Prometheus' image one is nobody.
        scraper = replace(volumes.of(services["prometheus"], network["prometheus"]), user="65534", work="/")
        wait_for(
            lambda: all(f"@{name}" in ask(scraper, url, authority).text for name in ours),
            "the figures of all are told",
        )
        if not (nginx := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")):
            pytest.skip("all but nginx, which is not there")
        front = tmp_path / "nginx.conf"
        front.write_text(nginx_configuration(tmp_path, network["gateway"].address))
        within = network["nginx"].within
        command = [*within, nginx, "-c", str(front), "-p", str(tmp_path), "-e", str(tmp_path / "log")]
        running = subprocess.Popen(command)
        ends.callback(running.wait, 20)
        ends.callback(running.terminate)
        browser = replace(volumes.of(services["nginx"], network["nginx"]), user="0")

        def answer(path: str) -> int:
            return ask(browser, f"https://localhost{path}", "/etc/front/authority.pem").status

        wait_for(lambda: answer("/") == 200, "the page is served")
        assert (answer("/healthz"), answer("/metrics"), answer("/monitoring/")) == (200, 404, 200)
        people = volumes.of(operator).run(
            "sh", "-c", "echo 'woof, said the dog' | barker people add ark3", **operator["environment"]
        )
        assert people.stdout == "ark3 may sign in\n", people.stderr
        page = {"Origin": "https://localhost:8443"}
        front_door = "https://localhost/sign-in", "/etc/front/authority.pem", page
        assert ask(browser, *front_door, "ark3\nwoof, said the dog") == (200, "ark3")
        assert ask(browser, *front_door, "ark3\nmeow").status == 403
        # Whoever runs it has the pages' key by a command, and not by a log.
        told = volumes.of(operator, network["operator"]).run("barker", "pages", **operator["environment"])
        assert told.returncode == 0, told.stderr
        [shown, _] = re.findall(r"https://gateway:5673/\S*#key=(\w+)", told.stdout)
        assert ask(browser, "https://localhost/key", "/etc/front/authority.pem", page, shown).status == 204


def scraped() -> tuple[str, str]:
    """Where Prometheus asks, and the file with the authority that it trusts."""
    [configuration] = documents((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    [job] = configuration["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    return f"{job['scheme']}://{target}/metrics", job["tls_config"]["ca_file"]


def nginx_configuration(folder: Path, gateway: str) -> str:
    """nginx's, with the places of this test in it."""
    text = (ROOT / "deploy" / "nginx" / "barker.conf.template").read_text()
    for there, here in (
        ("${BARKER_NAME}", "localhost"),
        ("resolver 127.0.0.11 valid=5s;", ""),  # Its network has no resolver.
        ("gateway:5673", f"{gateway}:5673"),
        ("/etc/front", str(folder / "front")),
    ):
        assert there in text
        text = text.replace(there, here)
    temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{name}_temp_path {folder / name};" for name in temporary)
    main = f"daemon off; user root; pid {folder / 'pid'}; error_log {folder / 'error.log'}; events {{}}"
    return f"{main} http {{ access_log off; {places}\n{text} }}"


SCALE = "--env-file", "deploy/scale.env"
"""With these options compose starts engines, too."""


def test_engines_and_suite_have_the_same_password() -> None:
    engines, suite = composed("scale", *SCALE), composed("", *SCALE)
    password = engines["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert engines["rabbitmq"]["environment"]["RABBITMQ_DEFAULT_PASS"] == password
    users, broker = (
        f"postgresql://barker:{password}@postgres/barker",
        f"amqp://barker:{password}@rabbitmq:5672",
    )
    assert suite["bizlogic-1"]["environment"]["BARKER_USERS"] == users
    for name in ("inbox", "outbox-2"):
        assert suite[name]["environment"]["BARKER_USERS_FILE"] == users
        assert suite[name]["environment"]["BARKER_BROKER"] == broker


@needs_hosts
@pytest.mark.parametrize("broker", [False, True], ids=["PostgreSQL", "RabbitMQ too"])
def test_with_engines_it_is_one_too(
    image: Stage, network: dict[str, Host], postgres: Postgres, tmp_path: Path, broker: bool
) -> None:
    postgres.fresh()
    # As in deploy/scale.env, but for the passwords.
    here = {"USERS_AT": postgres.url().replace(f"127.0.0.1:{postgres.port}", "postgres")}
    with contextlib.ExitStack() as ends:
        ends.enter_context(forwarded(network["postgres"], 5432, postgres.port))
        if broker:
            node = Node()
            ends.callback(node.end)
            node.start()
            ends.enter_context(forwarded(network["rabbitmq"], 5672, node.port))
            here["BROKER"] = node.url.replace(f"127.0.0.1:{node.port}", "rabbitmq:5672")
        else:
            here |= {"BROKER": "", "PUSH": "bizlogic"}
        services, volumes = composed("", *SCALE, **here), Volumes(image, tmp_path)
        prepared(volumes, services["prepare"])
        operator = composed("operator", *SCALE, **here)["operator"]
        container, variables = volumes.of(operator, network["operator"]), operator["environment"]
        made = container.run("barker", "users", "make", "--users", "5", **variables)
        assert made.returncode == 0, made.stderr
        ends.enter_context(started(volumes, services, network))
        bark(container, variables)


def test_prometheus_takes_its_configuration_and_rules() -> None:
    folder = ROOT / "deploy" / "prometheus"
    done(tool("promtool"), "check", "rules", str(folder / "barker.rules.yml"))
    # It looks for the authority, too, which is in the container.
    text = (folder / "prometheus.yml").read_text()
    assert "ca_file: /etc/front/authority.pem" in text
    checked = ("check", "config", "--syntax-only", str(folder / "prometheus.yml"))
    done(tool("promtool"), *checked)


def test_graphs_and_rules_are_of_metrics_that_there_are() -> None:
    there = {f"barker_{name}" for name, _ in metrics._GAUGES.values()} | {"barker_up"}
    there |= {f"barker_{name}_total" for name, _ in metrics._COUNTERS.values()}
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "barker.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    [rules] = documents((ROOT / "deploy" / "prometheus" / "barker.rules.yml").read_text())
    asked += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert len(asked) > 20
    for expression in asked:
        named = set(re.findall(r"barker_\w+", expression))
        assert named
        assert named <= there


def test_grafana_finds_data_and_dashboard() -> None:
    folder = ROOT / "deploy" / "grafana"
    [data] = documents((folder / "datasources.yml").read_text())
    [boards] = documents((folder / "dashboards.yml").read_text())
    [source], [provider] = data["datasources"], boards["providers"]
    services = composed()
    mounted = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    dashboard = json.loads((folder / "barker.json").read_text())
    assert mounted[str(folder / "barker.json")] == f"{provider['options']['path']}/barker.json"
    assert mounted[str(folder / "datasources.yml")].startswith("/etc/grafana/provisioning/datasources/")
    assert mounted[str(folder / "dashboards.yml")].startswith("/etc/grafana/provisioning/dashboards/")
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
