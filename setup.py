"""What pyproject.toml cannot say: a wheel has the pages inside, with their libraries, and the benchmarks."""

from __future__ import annotations

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent


class BuildWithPages(build_py):
    """Copies every file that the gateway serves into barker/pages, and there what `barker bench` runs."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        files = runpy.run_path(str(HERE / "barker" / "web" / "files.py"))["FILES"]
        benchmarks = [str(file.relative_to(HERE)) for file in (HERE / "benchmarks").glob("*.py")]
        for file in sorted({*files.values(), *benchmarks}):
            if not (HERE / file).is_file():
                raise SystemExit(f"{file} is missing: 'make setup' brings what the pages need")
            to = Path(self.build_lib, "barker", "pages", file)
            self.mkpath(str(to.parent))
            self.copy_file(str(HERE / file), str(to))


setup(cmdclass={"build_py": BuildWithPages})
