"""Asks a web server, from within a container."""

from __future__ import annotations

import json
from typing import NamedTuple

from tests.dockerfile import Stage

_SCRIPT = """
import json, ssl, sys, urllib.error, urllib.request
url, authority, headers, said = json.loads(sys.argv[1])
context = ssl.create_default_context(cafile=authority) if authority else ssl._create_unverified_context()
try:
    request = urllib.request.Request(url, said.encode() if said else None, headers)
    answer = urllib.request.urlopen(request, context=context, timeout=10)
    status, text = answer.status, answer.read().decode()
except urllib.error.HTTPError as error:
    status, text = error.code, ""
except OSError as error:
    status, text = 0, str(error)
print(json.dumps([status, text]))
"""


class Answer(NamedTuple):
    """What came."""

    status: int
    """0: nobody answered, or with a certificate that is not known."""
    text: str


def ask(
    container: Stage, url: str, authority: str | None, headers: dict[str, str] | None = None, said: str = ""
) -> Answer:
    """What is answered to who asks in the `container`, or says something (POST).

    None as `authority`: any certificate will do.
    """
    asked = json.dumps([url, authority, headers or {}, said])
    done = container.run("/opt/barker/bin/python", "-c", _SCRIPT, asked)
    assert done.returncode == 0, done.stderr
    return Answer(*json.loads(done.stdout))
