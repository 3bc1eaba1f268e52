"""Which files the gateway serves, and a wheel has inside. Imports nothing: setup.py reads it."""

from __future__ import annotations

FILES = {
    "/": "webui/index.html",
    "/index.html": "webui/index.html",
    "/barker.js": "webui/barker.js",
    "/barker.css": "webui/barker.css",
    "/barks.js": "webui/barks.js",
    "/key.js": "webui/key.js",
    "/line.js": "webui/line.js",
    "/numbers.js": "webui/numbers.js",
    "/outgoing.js": "webui/outgoing.js",
    "/shown.js": "webui/shown.js",
    "/sign_in.js": "webui/sign_in.js",
    "/timeline.js": "webui/timeline.js",
    "/node_modules/rhea/dist/rhea-umd.js": "webui/node_modules/rhea/dist/rhea-umd.js",
    "/monitoring/": "monitoring/index.html",
    **{
        # The dashboard's page names these as it finds them from the disk.
        f"/{file}": file
        for file in (
            "monitoring/index.html",
            "monitoring/colours.js",
            "monitoring/dashboard.css",
            "monitoring/dashboard.js",
            "monitoring/events.js",
            "monitoring/figures.js",
            "monitoring/graphs.js",
            "monitoring/headline.js",
            "monitoring/kept.js",
            "monitoring/legend.js",
            "monitoring/orders.js",
            "monitoring/picture.js",
            "monitoring/table.js",
            "webui/barker.css",
            "webui/key.js",
            "webui/line.js",
            "webui/numbers.js",
            "webui/shown.js",
            "webui/node_modules/rhea/dist/rhea-umd.js",
            "webui/node_modules/uplot/dist/uPlot.iife.min.js",
            "webui/node_modules/uplot/dist/uPlot.min.css",
        )
    },
}
"""Every file that is served, below the folder of the pages, by its path; there are no others."""
