"""A check of the pages that were built: nothing from a network, and a text for every image."""

from html.parser import HTMLParser
from pathlib import Path

from sphinx.errors import ExtensionError

# Attributes that make a browser fetch something as a page opens.
FETCHED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}
THUMBNAIL = "_thumb."
LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect"}


class Page(HTMLParser):
    """Sources outside of the built pages, and images without a text."""

    def __init__(self):
        super().__init__()
        self.problems = []

    def handle_starttag(self, tag, attributes):
        """Note what a tag fetches."""
        given = dict(attributes)
        address = given.get(FETCHED.get(tag, ""), "")
        if tag == "link" and LINKS & set((given.get("rel") or "").split()):
            address = given.get("href") or ""
        if (address or "").startswith(("http:", "https:", "//")):
            self.problems.append(f"{tag} from {address}")
        # A thumbnail beside its title needs no second text, and says so by an empty one.
        empty = not (given.get("alt") or "").strip() and not (
            "alt" in given and THUMBNAIL in address
        )
        if tag == "img" and empty:
            self.problems.append(f"img without alt: {given.get('src')}")


def problems_of(folder):
    """What is wrong with the HTML files and style sheets of a folder, one line each."""
    found = []
    for path in sorted(Path(folder).rglob("*.html")):
        page = Page()
        page.feed(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(folder)}: {problem}" for problem in page.problems]
    for path in sorted(Path(folder).rglob("*.css")):
        text = path.read_text(encoding="utf-8", errors="ignore")
        if "@import url(http" in text or "url(http" in text or "url(//" in text:
            found.append(f"{path.relative_to(folder)}: a style sheet from a network")
    return found


def check(app, exception):
    """Fail a build of HTML pages that need a network, or have an image without a text."""
    if exception is None and app.builder.format == "html":
        found = problems_of(app.outdir)
        if found:
            text = "\n".join(found)
            raise ExtensionError(
                f"these pages need a network, or have images without a text:\n{text}"
            )


def setup(app):
    """Connect to Sphinx."""
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
