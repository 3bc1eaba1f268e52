"""Does what a Dockerfile says in folders, without an engine: each step in order, with chroot, as root.

Of a stage's base, ``debian:RELEASE-slim``, debootstrap makes the like (its variant minbase, which has all of
it and a little more). What is copied is left out as `.dockerignore` has it. Of Dockerfiles this knows what
ours has; anything else is an error.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

APART = ("unshare", "--mount", "--propagation", "private", "--")
"""What a command begins with whose mounts nobody else sees, and which end with it."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What an engine begins with."""

GIVEN = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL")
"""What a step has of the environment that it is done in: how the network is reached."""

TRUSTED = ("PIP_CERT", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE")
"""Likewise, each with the file that it names: where something between looks into TLS."""


class Step(NamedTuple):
    """One instruction."""

    word: str
    """In capitals, such as ``RUN``."""
    rest: str


def steps(text: str) -> Iterator[Step]:
    """The instructions of a Dockerfile, without comments, each in one line."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    whole = ""
    for line in lines:
        whole += line.removesuffix("\\")
        if not line.endswith("\\"):
            word, _, rest = whole.strip().partition(" ")
            yield Step(word.upper(), rest.strip())
            whole = ""


class Ignored:
    """What of a folder is left out, by its .dockerignore: the last pattern that fits a path decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        self._patterns = [(not line.startswith("!"), self._pattern(line.lstrip("!"))) for line in lines]

    @staticmethod
    def _pattern(line: str) -> re.Pattern[str]:
        """It fits a path, and all below."""
        parts = re.split(r"(\*\*/|\*|\[[^]]*\])", line.strip("/"))
        wild = {"**/": "(?:.*/)?", "*": "[^/]*"}
        words = [wild.get(part, part if part.startswith("[") else re.escape(part)) for part in parts]
        return re.compile(f"{''.join(words)}(?:/.*)?")

    def __contains__(self, path: str) -> bool:
        found = [out for out, pattern in self._patterns if pattern.fullmatch(path)]
        return bool(found) and found[-1]


@dataclass
class Stage:
    """A folder that becomes an image, and what the steps until now have set."""

    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH, "HOME": "/root"})
    user: str = "0"
    work: str = "/"
    says: dict[str, Any] = field(default_factory=dict)
    """ENTRYPOINT, CMD and HEALTHCHECK, as lists of words."""
    volumes: dict[str, Path] = field(default_factory=dict)
    """What is mounted where inside."""
    within: tuple[str, ...] = ()
    """What a command begins with that is run in another network than ours."""
    read_only: bool = False
    """Whether nothing else can be written, but /tmp."""

    def command(self, *words: str, **environment: object) -> list[str]:
        """What runs these words in it, as a container of it would, with its own mounts, and no engine."""
        variables = self.environment | {key: str(value) for key, value in environment.items()}
        root = shlex.quote(str(self.folder))
        mounts = [f"mount --bind {root} {root}"]
        mounts += [f"mount -o remount,bind,ro {root}"] if self.read_only else []
        mounts += [f"mount -t proc proc {root}/proc", f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp"]
        for inside, outside in self.volumes.items():
            at = self.path(inside)
            at.parent.mkdir(parents=True, exist_ok=True)
            if outside.is_dir():
                at.mkdir(exist_ok=True)
            else:
                at.touch()
            mounts.append(f"mount --bind {shlex.quote(str(outside))} {shlex.quote(str(at))}")
        inside = f"cd {shlex.quote(self.work)} && exec {shlex.join(words)}"
        return [
            *(*self.within, *APART, "sh", "-ec"),
            "; ".join([*mounts, 'exec chroot "$@"']),
            *("sh", f"--userspec={self.user}:{self.user}", str(self.folder)),
            *("env", "-i", *(f"{key}={value}" for key, value in variables.items()), "sh", "-c", inside),
        ]

    def run(
        self, *words: str, seconds: float = 60, **environment: object
    ) -> subprocess.CompletedProcess[str]:
        """Do it to its end."""
        return subprocess.run(
            self.command(*words, **environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip

    def path(self, inside: str) -> Path:
        """Where it has what is called so inside."""
        return self.folder / os.path.join(self.work, inside).lstrip("/")


class Failure(Exception):
    """A step did not end well."""


class NoDebian(Failure):
    """There is no base to begin with: Debian's packages are not reached, or not in time."""


class Build:
    """An image that is made, in a folder."""

    def __init__(self, context: Path, folder: Path, seconds: float) -> None:
        """`context` has the Dockerfile; `seconds`: how long one step may take."""
        self._context, self._folder, self._seconds = context, folder, seconds
        self._ignored = Ignored((context / ".dockerignore").read_text())
        self._stages: dict[str, Stage] = {}
        self._stage: Stage | None = None

    def image(self) -> Stage:
        """Do every step; the last stage.

        :raises NoDebian: when there is no base.
        :raises Failure: when one fails, with what it has printed.
        """
        for step in steps((self._context / "Dockerfile").read_text()):
            self._do(step)
        assert self._stage is not None
        return self._stage

    def _do(self, step: Step) -> None:
        if step.word == "FROM":
            self._begin(*step.rest.split(" AS "))
            return
        stage = self._stage
        assert stage is not None, "a Dockerfile begins with FROM"
        if step.word == "RUN":
            given = {key: os.environ[key] for key in (*GIVEN, *TRUSTED) if key in os.environ}
            for file in {given[key] for key in TRUSTED if key in given}:
                stage.path(file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, stage.path(file))
            done = stage.run("sh", "-c", step.rest, seconds=self._seconds, **given)
            if done.returncode:
                raise Failure(f"RUN {step.rest}\n{done.stdout}{done.stderr}")
        elif step.word == "COPY":
            self._copy(stage, step.rest.split())
        elif step.word == "ENV":
            stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(step.rest))
        elif step.word == "USER":
            stage.user = step.rest
        elif step.word == "WORKDIR":
            stage.work = os.path.join(stage.work, step.rest)
            stage.path("").mkdir(parents=True, exist_ok=True)
        elif step.word in ("ENTRYPOINT", "CMD"):
            stage.says[step.word] = json.loads(step.rest)
        elif step.word == "HEALTHCHECK":
            stage.says[step.word] = json.loads(step.rest.partition(" CMD ")[2])
        elif step.word != "VOLUME":  # Of a container.
            raise Failure(f"{step.word} is not known here")

    def _begin(self, base: str, name: str = "last") -> None:
        release = re.fullmatch(r"debian:(\w+)-slim", base)
        if release is None:
            raise Failure(f"FROM {base}: what is it like?")
        root = self._folder / release[1]
        if not root.exists():
            made = [*APART, "debootstrap", "--variant=minbase", release[1], str(root)]
            try:
                subprocess.run(made, capture_output=True, text=True, timeout=self._seconds, check=True)
            except subprocess.TimeoutExpired as error:
                raise NoDebian(str(error)) from None
            except subprocess.CalledProcessError as error:
                raise NoDebian(f"{error}: {error.stdout[-2000:]}{error.stderr}") from None
            shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
        folder = self._folder / f"stage-{name}"
        subprocess.run(["cp", "-a", str(root), str(folder)], check=True, timeout=self._seconds)
        self._stage = self._stages[name] = Stage(folder)

    def _copy(self, stage: Stage, words: list[str]) -> None:
        *sources, target = words
        if sources[0].startswith("--from="):
            came = self._stages[sources.pop(0).removeprefix("--from=")].folder
            for source in sources:
                whole = ["cp", "-a", f"{came / source.lstrip('/')}/.", str(stage.path(target))]
                stage.path(target).mkdir(parents=True, exist_ok=True)
                subprocess.run(whole, check=True, timeout=self._seconds)
            return
        for source in sources:
            path = self._context / source
            if source in self._ignored:
                raise Failure(f"COPY {source}: .dockerignore leaves it out")
            if path.is_dir():
                shutil.copytree(path, stage.path(target), ignore=self._left_out, dirs_exist_ok=True)
            else:
                to = stage.path(target) / path.name if target.endswith("/") else stage.path(target)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, to)

    def _left_out(self, folder: str, names: list[str]) -> set[str]:
        below = Path(folder).relative_to(self._context)
        return {name for name in names if str(below / name) in self._ignored}
