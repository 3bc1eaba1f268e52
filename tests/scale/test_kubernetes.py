"""The manifests: Kubernetes knows every field; and their pods are a suite, without a cluster, in the image.

Each container has its arguments, variables, user, volumes and probes as they say. Schedulers, claims, budgets
and policies are only looked at.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.dockerfile import Stage
from tests.harness import ROOT, wait_for
from tests.scale.hosts import Host, hosts, needs_hosts
from tests.scale.linters import documents, done, tool
from tests.scale.web import ask

pytest_plugins = ["tests.scale.image"]

pytestmark = [pytest.mark.system, pytest.mark.timeout(3000)]  # Whoever is first makes the image.

KUBERNETES = ROOT / "deploy" / "kubernetes"

Made = dict[str, Any]
"""A resource."""


class Pod:
    """One of a StatefulSet, in the image; its volumes are folders, whose a cluster with fsGroup has them."""

    def __init__(
        self, image: Stage, made: list[Made], of: Made, number: int, at: Path, host: Host
    ) -> None:  # fmt: skip
        self.name = f"{of['metadata']['name']}-{number}"
        service, namespace = of["spec"]["serviceName"], of["metadata"]["namespace"]
        self.address = f"{self.name}.{service}.{namespace}.svc.cluster.local"
        spec = of["spec"]["template"]["spec"]
        self.first, self.containers = spec["initContainers"], spec["containers"]
        self._at = at / self.name
        self._named = {(one["kind"], one["metadata"]["name"]): one for one in made}
        self._group = spec["securityContext"]["fsGroup"]
        user = str(spec["securityContext"]["runAsUser"])
        self._image = replace(image, user=user, within=tuple(host.within))
        self.host = host
        for volume in (*spec["volumes"], *of["spec"].get("volumeClaimTemplates", ())):
            folder = self._at / (volume.get("name") or volume["metadata"]["name"])
            folder.mkdir(parents=True)
            os.chown(folder, 0, self._group)
            folder.chmod(0o2770)
            for source in volume.get("projected", {"sources": ()})["sources"]:
                for name, data in self._named["Secret", source["secret"]["name"]]["data"].items():
                    (folder / name).write_bytes(base64.b64decode(data))
                    os.chown(folder / name, 0, self._group)
                    (folder / name).chmod(0o440)

    def container(self, spec: dict[str, Any]) -> tuple[Stage, dict[str, str]]:
        """One of its containers, and its variables."""
        variables: dict[str, str] = {}
        for source in spec.get("envFrom", ()):
            variables |= self._named["ConfigMap", source["configMapRef"]["name"]]["data"]
        for each in spec.get("env", ()):
            field = each.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            assert field in (None, "metadata.name")
            value = self.name if field else each["value"]
            variables[each["name"]] = re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], value)
        mounts = {mount["mountPath"]: self._at / mount["name"] for mount in spec["volumeMounts"]}
        assert spec["securityContext"]["readOnlyRootFilesystem"]
        return replace(self._image, volumes=mounts, read_only=True), variables

    def well(self, spec: dict[str, Any], probe: str) -> bool:
        """What a probe finds."""
        container, variables = self.container(spec)
        asks = spec[probe]
        if "exec" in asks:
            return container.run(*asks["exec"]["command"], **variables).returncode == 0
        get = asks["httpGet"]
        url = f"{get['scheme'].lower()}://{self.host.address}:{get['port']}{get['path']}"
        headers = {header["name"]: header["value"] for header in get["httpHeaders"]}
        return ask(container, url, None, headers).status == 200  # Kubelet looks at no certificate.


@pytest.fixture
def manifests(tmp_path: Path) -> list[Made]:
    """What kustomize makes of `deploy/kubernetes`, with secrets of its own."""
    folder = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, folder, ignore=shutil.ignore_patterns("secrets"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done("sh", str(folder / "secrets.sh"), env={"PATH": path, "PYTHONPATH": str(ROOT)})
    return documents(done(tool("kubectl"), "kustomize", str(folder)))


def test_kubernetes_knows_every_field_of_the_manifests(manifests: list[Made], tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text("\n---\n".join(map(json.dumps, manifests)))  # JSON is YAML.
    for version in ("1.31.0", "1.35.0"):
        said = done(tool("kubernetes-validate"), "--strict", "-k", version, str(file))
        assert said.count(" passed for resource ") == len(manifests)
    file.write_text(json.dumps(manifests[0] | {"nonsense": 1}))
    with pytest.raises(AssertionError, match="nonsense"):
        done(tool("kubernetes-validate"), "--strict", str(file))


@needs_hosts
def test_what_the_manifests_start_is_a_suite(image: Stage, manifests: list[Made], tmp_path: Path) -> None:
    sets = [made for made in manifests if made["kind"] == "StatefulSet"]
    places = [(each, number) for each in sets for number in range(each["spec"]["replicas"])]
    with contextlib.ExitStack() as ends:
        *there, outside = ends.enter_context(hosts(len(places) + 1))
        placed = zip(places, there, strict=True)
        pods = [Pod(image, manifests, *place, tmp_path, host) for place, host in placed]
        lines = (f"{pod.host.address} {pod.address}\n" for pod in pods)
        image.path("/etc/hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
        for pod in pods:
            for first in pod.first:
                container, variables = pod.container(first)
                made = container.run(*first["command"], **variables)
                assert (made.returncode, made.stderr) == (0, ""), pod.name
            for spec in pod.containers:
                container, variables = pod.container(spec)
                command = container.command(*image.says["ENTRYPOINT"], *spec["args"], **variables)
                running = subprocess.Popen(command, stdin=subprocess.DEVNULL)
                ends.callback(running.wait, 20)
                ends.callback(running.terminate)
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            for pod in pods:
                for spec in pod.containers:
                    well = partial(pod.well, spec, probe)
                    wait_for(well, f"{probe} of {pod.name}", 60)
        outbox = next(pod for pod in pods if pod.name == "outbox-0")
        container, variables = outbox.container(outbox.containers[0])

        def all_known() -> bool:
            routes = container.run("barker", "routes", **variables).stdout  # As by kubectl exec.
            return all(pod.address in routes for pod in pods)

        wait_for(all_known, "all pods are known")
        # An operator's certificate is no pod's: it stays where secrets.sh has made it.
        keys = tmp_path / "kubernetes" / "secrets"
        for each in (keys, *keys.rglob("*")):
            os.chown(each, 10001, 10001)
        operator = replace(image, volumes={"/etc/barker": keys}, within=tuple(outside.within))
        [known] = [made["data"] for made in manifests if made["kind"] == "ConfigMap"]
        known |= {"BARKER_TLS": "/etc/barker/tls"}
        bark = partial(operator.run, "barker", "bark", "ark3", "Woof in a pod", **known)
        accepted = "accepted by the outbox at outbox-"
        wait_for(lambda: bark().stdout.startswith(accepted), "an outbox accepts a bark")
        listen = partial(operator.run, "barker", "listen", "ark3", "--count", "1", **known)
        wait_for(lambda: "Woof in a pod" in listen().stdout, "the bark is there")
