"""The pages: which files there are, and which headers they have."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

ROOT = Path(__file__).resolve().parent.parent.parent

PAGES = {
    "/": "webui/index.html",
    "/index.html": "webui/index.html",
    "/barker.js": "webui/barker.js",
    "/barker.css": "webui/barker.css",
    "/line.js": "webui/line.js",
    "/node_modules/rhea/dist/rhea-umd.js": "webui/node_modules/rhea/dist/rhea-umd.js",
    "/monitoring/": "monitoring/index.html",
    **{
        # The dashboard's page names these as it finds them from the disk.
        f"/{file}": file
        for file in (
            "monitoring/index.html",
            "monitoring/dashboard.css",
            "monitoring/dashboard.js",
            "monitoring/figures.js",
            "webui/barker.css",
            "webui/line.js",
            "webui/node_modules/rhea/dist/rhea-umd.js",
            "webui/node_modules/uplot/dist/uPlot.iife.min.js",
            "webui/node_modules/uplot/dist/uPlot.min.css",
        )
    },
}
"""Every file that is served, below :data:`ROOT`, by its path; there are no others."""

SESSION = "window.BARKER_SESSION = {gateway: location.host};\n"
"""What ``/session.js`` says here. The file of that name holds the run's token, for who may read the disk."""

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; connect-src ws: wss:; img-src data:",
    "X-Content-Type-Options": "nosniff",
}


def page(path: str) -> web.StreamResponse:
    """One of the files that are served."""
    if path in ("/session.js", "/webui/session.js"):
        return web.Response(text=SESSION, content_type="text/javascript")
    if path not in PAGES:
        return line(404, f"there is no {path!r:.100} here")
    file = ROOT / PAGES[path]
    if not file.is_file():
        return line(404, f"{PAGES[path]} is missing; make setup brings what the pages need")
    return web.FileResponse(file)


def line(status: int, text: str) -> web.Response:
    response = web.Response(status=status, text=text + "\n")
    # Nothing can follow on a connection that was to be a WebSocket.
    response.force_close()
    return response
