"""Says what this machine lacks before `make` sets anything up: all at once, with the commands that help.

Run by make as `python3 setup/preflight.py [--tests]`, with the Python that shall make .venv. It uses nothing
but the standard library and also runs on Python 3.6, to be able to say that 3.11 is wanted. Exit status 1
when something required is missing; what Barker can do without is a warning.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
APT, DNF, BREW = "sudo apt-get install -y ", "sudo dnf install -y ", "brew install "


def main():
    lacks, warnings = [], []
    if not proton_is_built():
        lacks += check_python() + check_compiler()
        warnings += check_tls()
    if "--tests" in sys.argv[1:]:
        lacks += check_chromium()
    report("warning: Barker works without, but lacks something:", warnings)
    report("Barker cannot be set up yet. This machine lacks:", lacks)
    return 1 if lacks else 0


def proton_is_built():
    """Whether make has finished .venv, with Proton in it: then nothing is left to compile."""
    python = os.path.join(ROOT, ".venv", "bin", "python")
    finished = os.path.exists(os.path.join(ROOT, ".venv", "whole"))
    return finished and runs([python, "-c", "import cproton_ffi"])


def check_python():
    """Python itself, what makes virtual environments, and the headers that Proton is compiled with."""
    name = "python%d.%d" % max(sys.version_info[:2], OLDEST)
    if sys.version_info < OLDEST:
        what = "Python %d.%d or newer (%s is %s)" % (*OLDEST, sys.executable, sys.version.split()[0])
        others = ["python3.%d" % minor for minor in range(30, OLDEST[1] - 1, -1)]
        found = [other for other in others if shutil.which(other) and runs([other, "-c", ""])]
        if found:
            return [(what, "there is another one here", "make PYTHON=%s …" % found[0])]
        debian = "%s %s-venv %s-dev" % (name, name, name)
        return [lack(what, debian, "%s %s-devel" % (name, name), name.replace("n3", "n@3"))]
    lacks = []
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        lacks.append(lack("Python's venv and ensurepip", name + "-venv", "python3", "python3"))
    folders = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    if not any(os.path.exists(os.path.join(folder, "Python.h")) for folder in folders):
        lacks.append(lack("Python's headers (Python.h)", name + "-dev", "python3-devel", "python3"))
    return lacks


def check_compiler():
    """The C compiler: Proton has no binary package for Linux, so pip compiles it."""
    # The compiler that setuptools will take, tried for real: without the C library's headers it is of no use.
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    with tempfile.TemporaryDirectory() as folder:
        source, program = os.path.join(folder, "try.c"), os.path.join(folder, "try")
        with open(source, "w") as file:
            file.write("#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n")
        if runs([*shlex.split(command), source, "-o", program]):
            return []
    what = "a working C compiler (tried: %s)" % command
    return [(what, *lack("", "gcc libc6-dev", "gcc", "")[1:-1], "macOS: xcode-select --install")]


def check_tls():
    """pkg-config and OpenSSL's headers: Proton's build asks the one for the other, and goes on without."""
    if runs(["pkg-config", "--exists", "openssl"]):
        return []
    what = "TLS: Proton comes without, for want of pkg-config or OpenSSL's headers"
    again = "to have it later: that, then `pip cache remove python_qpid_proton` and `make clean`"
    packages = ("pkg-config libssl-dev", "pkgconf-pkg-config openssl-devel", "pkgconf openssl@3")
    return [(*lack(what, *packages), again)]


def check_chromium():
    """The browser that tests/browser drives."""
    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else []
    names = names or ["chromium", "chromium-browser", "google-chrome"]
    if any(shutil.which(name) for name in names):
        return []
    what = "Chromium, for the tests (looked for: %s; or set CHROMIUM to its path)" % ", ".join(names)
    return [lack(what, "chromium", "chromium", "--cask chromium")]


def lack(what, debian, fedora, macos):
    """One thing that is missing, and a line for each system about how to get it."""
    return what, "Debian, Ubuntu: " + APT + debian, "Fedora: " + DNF + fedora, "macOS: " + BREW + macos


def report(title, lacks):
    if lacks:
        print(title, file=sys.stderr)
    for what, *hints in lacks:
        print("  - " + "\n      ".join([what, *hints]), file=sys.stderr)


def runs(command):
    """Whether the command is there and ends well."""
    try:
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
