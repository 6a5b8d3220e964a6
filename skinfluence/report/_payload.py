"""Plain data of the tabs as the JSON that the page reads."""

import numpy as np

from skinfluence._version import __version__
from skinfluence.report._encode import (
    LONGEST_TEXT,
    ROUNDING,
    clipped,
    half,
    integers,
    name_text,
    single,
)
from skinfluence.report._inputs import MOST_TEST_ROWS
from skinfluence.report._labels import MOST_SUSPECTS
from skinfluence.report._rows import EACH_KIND, MOST_POOL
from skinfluence.report._what_if import MOST_GROUPS

# Bytes of all images on the page before base64; larger ones are reduced by block means.
IMAGE_BYTES = 400_000


def payload(subject, data, title):
    """Return the JSON-able contents of the page.

    Parameters
    ----------
    subject : Subject
    data : dict
        Of the tabs.
    title : str
    """
    registry = _registry(data)
    code = _coder(subject)
    images = _images(subject, registry, data["shown"].tests)
    return {
        "version": __version__,
        "title": clipped(title, 200),
        "classes": None
        if not subject.is_classifier
        else [name_text(name) for name in subject.problem.classes.tolist()],
        "output": subject.output,
        "asked": data["shown"].asked,
        "has_labels": subject.y_test is not None,
        "weighted": subject.test_weight is not None,
        "n_train": int(subject.problem.objective.n_rows),
        "n_test": len(subject.test_names),
        "overview": data["overview"] | {"look": _look(subject, data, registry)},
        "warnings": data["warnings"],
        "table": _table(subject, data, code),
        "shown": _shown(subject, data, registry, code),
        "train": {
            "positions": integers(registry),
            "names": [name_text(name) for name in subject.train_names[registry]],
            "labels": code(subject.problem.labels[registry]),
            "texts": _texts(subject.train_texts, registry),
            "images": images[0],
        },
        "test": {
            "texts": _texts(subject.test_texts, data["shown"].tests),
            "images": images[1],
        },
        "labels": _labels(data["labels"], registry),
        "what_if": _what_if(data["what_if"], data["shown"], registry),
        "diagnostics": {
            name: _figure(figure, subject) for name, figure in data["diagnostics"].items()
        },
        "notes": _notes(subject, data, images[2]),
    }


def _registry(data):
    """Positions of all training rows that have a name on the page, sorted."""
    parts = [data["shown"].behind]
    if data["labels"] is not None:
        parts.append(data["labels"]["rows"])
        for found in data["labels"]["evidence"]:
            parts += [found["given"][0], found["suggested"][0]]
    parts.append([each["row"] for each in data["overview"]["look"] if each["kind"] == "train"])
    return np.unique(np.concatenate([np.asarray(part, dtype=np.intp) for part in parts]))


def _coder(subject):
    """Return the function from labels to packed codes, or of responses to packed numbers."""
    if not subject.is_classifier:
        return single
    codes = {label: code for code, label in enumerate(subject.problem.classes.tolist())}
    return lambda labels: integers([codes[label] for label in np.asarray(labels).tolist()])


def _look(subject, data, registry):
    """The rows to look at, with names, and where they are on the page."""
    shown = {test: s for s, test in enumerate(data["shown"].tests.tolist())}
    found = []
    for each in data["overview"]["look"]:
        is_test = each["kind"] == "test"
        names = subject.test_names if is_test else subject.train_names
        place = shown.get(each["row"]) if is_test else int(np.searchsorted(registry, each["row"]))
        found.append(each | {"name": name_text(names[each["row"]]), "place": place})
    return found


def _table(subject, data, code):
    """Columns of all test rows."""
    table = data["predictions"]
    plain = np.array_equal(subject.test_names, np.arange(len(subject.test_names)))
    found = {
        "names": None if plain else [name_text(name) for name in subject.test_names.tolist()],
        "predicted": code(table["predicted"]),
        "order": integers(data["shown"].order),
    }
    if "probability" in table:
        found["probability"] = single(table["probability"])
    if subject.y_test is not None:
        found["given"] = code(table["given"])
        found["loss"] = single(table["loss"])
        found["error"] = integers(table["is_error"].astype(int))
    return found


def _shown(subject, data, registry, code):
    """Details of some test rows."""
    shown, found = data["shown"], data["details"]
    place = np.searchsorted(registry, shown.behind)
    packed = {
        "tests": integers(shown.tests),
        "helpful": integers(place[shown.helpful]),
        "harmful": integers(place[shown.harmful]),
        "helpful_values": half(shown.helpful_values),
        "harmful_values": half(shown.harmful_values),
        "before": single(found["before"]),
        "without": single(found["without"]),
        "features_missing": found.get("features_missing"),
    }
    if "relabelled" in found:
        packed["relabelled"] = single(found["relabelled"])
        packed["other_labels"] = code(found["other_labels"])
        packed["behind"] = integers(place)
    if "feature" in found:
        used, position = np.unique(found["feature"], return_inverse=True)
        names = subject.problem.feature_names
        packed["feature_names"] = [name_text(names[j]) for j in used]
        packed["feature"] = integers(position.reshape(found["feature"].shape))
        packed["effect"] = half(found["effect"])
        packed["train_value"] = single(found["train_value"])
        packed["test_value"] = single(found["test_value"])
    return packed


def _texts(texts, rows):
    """Beginnings of the texts of some rows, or None."""
    return None if texts is None else [clipped(texts[row]) for row in rows.tolist()]


def _images(subject, registry, tests):
    """Packed images of the training rows and the test rows, and by how much they are reduced."""
    parts = [
        None if images is None else images[rows]
        for images, rows in ((subject.train_images, registry), (subject.test_images, tests))
    ]
    size, factor = sum(part.size for part in parts if part is not None), 1
    while size > IMAGE_BYTES * factor**2:
        factor += 1
    return (*(None if part is None else integers(_reduced(part, factor)) for part in parts), factor)


def _reduced(images, factor):
    """Means of square blocks of pixels; what is left over at the edges is cut."""
    if factor == 1:
        return images
    height, width = (max(1, side // factor) for side in images.shape[1:3])
    block = [side // count for side, count in zip(images.shape[1:3], (height, width), strict=True)]
    block = [min(factor, side) for side in block]
    cut = images[:, : height * block[0], : width * block[1]].astype(float)
    shape = (len(images), height, block[0], width, block[1], *images.shape[3:])
    return cut.reshape(shape).mean(axis=(2, 4)).round().astype(np.uint8)


def _labels(found, registry):
    """The suspects of the audit."""
    if found is None:
        return None

    def side(evidence):
        rows, weights, total = evidence
        places = np.searchsorted(registry, rows)
        return {"rows": places.tolist(), "weights": _floats(weights), "total": float(total)}

    return {
        "rows": np.searchsorted(registry, found["rows"]).tolist(),
        "ids": found["ids"],
        "given": found["given"].tolist(),
        "suggested": found["suggested"].tolist(),
        "classes": found["classes"],
        "error_probability": _floats(found["error_probability"]),
        "loo_probability": _floats(found["loo_probability"]),
        "effect": _floats(found["effect"]),
        "expected_errors": found["expected_errors"],
        "n_issues": found["n_issues"],
        "fingerprint": found["fingerprint"],
        "evidence": [
            {"given": side(each["given"]), "suggested": side(each["suggested"])}
            for each in found["evidence"]
        ],
    }


def _floats(values):
    """List of numbers, None for those that are not finite; None for None."""
    if values is None:
        return None
    return [float(value) if np.isfinite(value) else None for value in np.asarray(values)]


def _what_if(found, shown, registry):
    """Groups as they are, and the changes by single rows packed."""
    rows = found["rows"]
    packed = {"pool": integers(np.searchsorted(registry, shown.pool)), "error": rows["error"]}
    for name in ("decision_change", "loss_change", "mean_loss_change"):
        packed[name] = None if rows[name] is None else half(rows[name])
    for name in ("decision", "loss"):
        packed[name] = None if rows[name] is None else single(rows[name])
    return {"groups": found["groups"], "n_groups": found["n_groups"], "rows": packed}


def _figure(figure, subject):
    """Points of a figure, with the names of their rows."""
    if "missing" in figure:
        return {"missing": clipped(figure["missing"])}
    packed = dict(figure)
    packed["names"] = [clipped(name, 40) for name in subject.train_names[figure["rows"]].tolist()]
    packed["x"], packed["y"] = single(figure["x"]), single(figure["y"])
    del packed["rows"]
    return packed


def _notes(subject, data, factor):
    """Sentences about what is rounded and what is left out for size."""
    shown, n, m = data["shown"], subject.problem.objective.n_rows, len(subject.test_names)
    notes = [
        f"{ROUNDING['float32']}; {ROUNDING['float16']}.",
        f"Details are shown for {len(shown.tests):,} of {m:,} test rows, those with the largest "
        f"losses first; each has the {EACH_KIND} most helpful and the {EACH_KIND} most harmful "
        f"training rows, together {len(shown.behind):,} of {n:,}. What-if offers those named most "
        f"often among them, at most {MOST_POOL}.",
        f"A report holds at most {MOST_TEST_ROWS:,} test rows; names are cut behind 120 characters "
        f"and texts behind {LONGEST_TEXT}.",
    ]
    if subject.test_weight is not None:
        notes.append(
            "The test rows have weights, which count in scores and mean losses of all test rows; "
            "means over the test rows with details are not weighted."
        )
    if data["labels"] is not None and data["labels"]["n_issues"]:
        count = data["labels"]["n_issues"]
        if count > MOST_SUSPECTS:
            notes.append(
                f"The top {MOST_SUSPECTS} of {count:,} suspect labels are shown, of {n:,} rows."
            )
    if len(subject.groups) > MOST_GROUPS:
        notes.append(f"The {MOST_GROUPS} largest of {len(subject.groups):,} groups are shown.")
    if factor > 1:
        notes.append(f"Images are reduced {factor} times in each direction, by block means.")
    return notes
