"""How Sphinx builds these pages: `python -m sphinx -W -b html docs docs/_build`. Nothing is loaded from a network."""

from qep_tn import __version__

project = "qep_tn"
author = "the authors of qep_tn"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "jupyter_execute"]

html_theme = "furo"
html_title = "qep_tn"

nb_execution_mode = "force"  # notebooks are stored without outputs
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # progress, and that kernels are being compiled

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"


def _plain(app, what, name, obj, options, lines):
    """Show docstrings as they are written: they are text for people, not reStructuredText."""
    if any(lines):
        lines[:] = ["::", "", *(f"   {line}" for line in lines), ""]


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _plain)
