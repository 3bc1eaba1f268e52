"""Sphinx's settings: ``make docs`` builds the pages of this folder."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

project = "Barker"
extensions = ["command_pages"]
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False  # They would make one dash of an option's two.

html_theme = "alabaster"
html_theme_options = {
    "description": "A small Twitter of AMQP 1.0 microservices",
    "fixed_sidebar": True,
    "page_width": "76rem",
    "body_max_width": "58rem",
    "font_family": "system-ui, sans-serif",
    "head_font_family": "system-ui, sans-serif",
}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
