"""The pages: the files (`files.py`) as answers, and which headers they have."""

from __future__ import annotations

from aiohttp import web

from barker.environment import PAGES
from barker.web.files import FILES

SESSION = "// A page from the gateway has no use for it.\n"
"""What ``/session.js`` says here. The file of that name holds the pages' key, for those from the disk."""

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}


def page(path: str, query: str = "") -> web.StreamResponse:
    """One of the files that are served; of a folder without its slash, where that is: with `query`."""
    if path in ("/session.js", "/webui/session.js"):
        return web.Response(text=SESSION, content_type="text/javascript")
    if f"{path}/" in FILES:
        # The page names its files from there. What stands behind a # the browser keeps.
        return web.Response(status=308, headers={"Location": f"{path}/{query and '?'}{query}"})
    if path not in FILES:
        return line(404, f"there is no {path!r:.100} here")
    file = PAGES / FILES[path]
    if not file.is_file():
        return line(404, f"{FILES[path]} is missing; make setup brings what the pages need")
    return web.FileResponse(file)


def line(status: int, text: str) -> web.Response:
    response = web.Response(status=status, text=text + "\n")
    # Nothing can follow on a connection that was to be a WebSocket.
    response.force_close()
    return response
