"""Settings of the documentation: make docs, or make docs-full to run every gallery page."""

import os
import re
import runpy
import sys
import tomllib
import warnings
from importlib.util import find_spec
from pathlib import Path

import skinfluence

sys.path.insert(0, str(Path(__file__).parent))  # the extensions of these pages

project = "skinfluence"
author = "The skinfluence developers"
copyright = "2026, The skinfluence developers"
version = release = skinfluence.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "inherited_parameters",
    "mathml",
    "offline",
]
html_math_renderer = "mathml"
# Names of other projects, from stored inventories: building asks the network for nothing.
intersphinx_mapping = {
    "sklearn": ("https://scikit-learn.org/stable/", "inventories/scikit-learn.inv"),
    "numpy": ("https://numpy.org/doc/stable/", "inventories/numpy.inv"),
    "pandas": ("https://pandas.pydata.org/docs/", "inventories/pandas.inv"),
}
exclude_patterns = ["_build", "_templates", "examples/**"]
templates_path = ["_templates"]
default_role = "literal"
nitpicky = False

# -- the API pages ---------------------------------------------------------------------------------

autosummary_generate = True
autodoc_default_options = {"members": True, "inherited-members": True}
numpydoc_show_class_members = False
autodoc_typehints = "none"  # numpydoc's types say more: shapes and defaults
add_module_names = False
toc_object_entries_show_parents = "hide"  # methods by their own names: the class is the page


def skip_member(app, what, name, obj, skip, options):
    """Leave out what a class has from scikit-learn: its pages say it better."""
    if what != "class" or skip:
        return skip
    # A bound or wrapped method knows its module; what knows none (attributes) is described above.
    return not str(getattr(obj, "__module__", "")).startswith("skinfluence")


def write_reports(app, exception):
    """Write the pages that doc/report.rst shows."""
    if exception is None and app.builder.format == "html":
        example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "report.py"))
        example["write"](Path(app.outdir) / "reports")


def setup(app):
    """Connect to Sphinx."""
    app.connect("autodoc-skip-member", skip_member)
    app.connect("build-finished", write_reports)


# -- the gallery -----------------------------------------------------------------------------------

# Pages named plot_slow_* take more than 20 s: they are shown, and run only by `make docs-full`.
# Pages that import PyTorch are run where it is installed.
run_all = os.environ.get("SKINFLUENCE_DOCS_FULL") == "1"
examples = sorted((Path(__file__).parent / "examples").rglob("plot_*.py"))
networks = [page.name for page in examples if "import torch" in page.read_text(encoding="utf-8")]
not_run = [] if run_all else ["plot_slow_"]
not_run += [] if find_spec("torch") else networks
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "".join(f"(?!{re.escape(name)})" for name in not_run) + "plot_",
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # its tables are sorted by scripts from a network
    "abort_on_example_error": True,
    "capture_repr": (),
    "doc_module": ("skinfluence",),
    "backreferences_dir": None,
}
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

# -- HTML ------------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = f"skinfluence {release}"
html_theme_options = {
    "navigation_with_keys": False,
    "show_nav_level": 1,
    "header_links_before_dropdown": 4,  # with five the search has a line of its own at 1280 px
    "secondary_sidebar_items": ["page-toc"],
}
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_sidebars = {"**": ["all-pages"]}
html_show_sourcelink = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# -- versions: published pages have a switcher, which fetches its list; local ones fetch nothing ---

published = os.environ.get("SKINFLUENCE_DOCS_VERSION")  # "dev", or a release such as "0.1"
if published:
    metadata = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    site = metadata["project"]["urls"]["Documentation"]
    html_baseurl = f"{site}/{published}/"
    html_theme_options |= {
        # One list for all versions, so that old pages know the new ones.
        "switcher": {
            "json_url": f"{site}/dev/_static/switcher.json",
            "version_match": published,
        },
        "check_switcher": False,  # building asks the network for nothing
        "navbar_start": ["navbar-logo", "version-switcher"],
        "show_version_warning_banner": True,
    }
