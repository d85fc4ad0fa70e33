"""Settings of the documentation's site; `make docs` builds it into build/site."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from bgpsvc import __version__

project = "bgpsvc"
version = release = __version__
extensions = ["myst_parser", "sphinx_copybutton", "sitegen.extension"]
exclude_patterns: list[str] = []
nitpicky = True

myst_enable_extensions = ["attrs_inline", "attrs_block", "deflist"]
myst_heading_anchors = 4

# What a page marks as no language is text. Samples are shortened with …, which is no JSON.
highlight_language = "text"
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "bgpsvc"
html_static_path = ["_static"]
html_copy_source = True  # what a page was made of, as text beside it
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {
    "light_logo": "logo-light.svg",
    "dark_logo": "logo-dark.svg",
    "sidebar_hide_name": True,
    "light_css_variables": {"font-stack": "system-ui, sans-serif", "color-brand-primary": "#0b5cad"},
}
html_favicon = "_static/favicon.svg"
pygments_style = "friendly"
pygments_dark_style = "github-dark"

# Copied are the commands, without prompt and output.
copybutton_prompt_text = r"^[$#] "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_line_continuation_character = "\\"
