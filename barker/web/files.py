"""Which files the gateway serves, and a wheel has inside. Imports nothing: setup.py reads it."""

from __future__ import annotations

FILES = {
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
"""Every file that is served, below the folder of the pages, by its path; there are no others."""
