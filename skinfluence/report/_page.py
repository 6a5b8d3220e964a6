"""The page: one HTML file whose policy allows its own script and style, and nothing else."""

import base64
import hashlib
import json
import math
import re

# What ends a script element, or is a line end in old parsers, in a form that JSON reads the same.
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}

CONTROL = re.compile("[\0-\x08\x0b-\x1f]")
DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")


def render(contents):
    """Return the HTML of a report.

    Parameters
    ----------
    contents : dict
        As :func:`skinfluence.report._payload.payload` returns it.
    """
    try:
        from jinja2 import Environment, PackageLoader
    except ImportError as error:
        raise ImportError(
            "InfluenceReport needs jinja2, which is not installed: pip install jinja2"
        ) from error
    loader = PackageLoader("skinfluence.report", "templates")
    environment = Environment(loader=loader, autoescape=True)
    script, style = (loader.get_source(environment, f"report.{kind}")[0] for kind in ("js", "css"))
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    # The template escapes the title and the policy; the rest is ours, or holds no markup.
    return environment.get_template("report.html").render(
        title=_readable(contents["title"]),
        policy=policy,
        script=script,
        style=style,
        data=embedded(contents),
    )


def embedded(contents):
    """Return JSON in ASCII that holds no markup; NaN and infinities become null."""
    text = json.dumps(_without_nan(contents), separators=(",", ":"), allow_nan=False)
    for character, escape in ESCAPES.items():
        text = text.replace(character, escape)
    return text


def _hash(text):
    """Source expression of a script or a style in a Content-Security-Policy."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _readable(text):
    """Text with symbols for characters without a shape, and numbers for turns of the direction."""
    text = CONTROL.sub(lambda found: chr(0x2400 + ord(found[0])), text)
    text = DIRECTION.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)
    return text.encode("utf-8", "replace").decode()


def _without_nan(value):
    """Return a copy of plain data with None for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {str(key): _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
