"""Decisions about labels as a page exports them: CSV or JSON, one record for each row."""

import csv
import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from skinfluence._validation import distinct_texts, listed

# What a decision is called in a file, and by LabelAudit.apply.
CALLED = {"accept": "keep", "keep": "keep", "unsure": "keep", "drop": "drop", "relabel": "relabel"}

# Spreadsheets take cells that begin with these for formulas; a plain number is none.
FORMULA, NUMBER = "=+-@\t\r", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def guarded(text):
    """Return the text of a CSV cell that no spreadsheet takes for a formula."""
    if text[:1] and text[0] in FORMULA and not NUMBER.fullmatch(text):
        return "'" + text
    return text


def exported_records(decisions):
    """Return the records of exported decisions as dicts; None where the decisions are no export.

    Parameters
    ----------
    decisions : object
        As in LabelAudit.apply.
    """
    if isinstance(decisions, str | PathLike):
        path = Path(decisions)
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            return list(csv.DictReader(text.splitlines(keepends=True)))
        return _of_json(json.loads(text))
    if hasattr(decisions, "columns"):  # a data frame
        return [
            dict(zip(decisions.columns, values, strict=True))
            for values in decisions.itertuples(index=False, name=None)
        ]
    if isinstance(decisions, Mapping):
        return _of_json(decisions) if "decisions" in decisions else None
    if isinstance(decisions, list) and decisions and isinstance(decisions[0], Mapping):
        return decisions
    return None


def _of_json(contents):
    """Records of a JSON file: its list, or the list it holds as "decisions"."""
    return contents["decisions"] if isinstance(contents, Mapping) else contents


def read_back(records, ids, texts, given, classes):
    """Return pairs (row id, decision) of exported records.

    Parameters
    ----------
    records : list of dict
    ids, texts : ndarray of shape (n,)
        Row ids, and as texts.
    given : ndarray of shape (n,)
        Labels of the rows.
    classes : ndarray

    Raises
    ------
    ValueError
        Listing rows that are not there, and rows whose given label differs.
    """
    _check_fields(records)
    position = {}
    for row, text in enumerate(texts.tolist()):
        position[text] = row
        position.setdefault(guarded(text), row)
    known, called = {}, {}
    for label, text in zip(classes.tolist(), distinct_texts(classes).tolist(), strict=True):
        known[text] = known[guarded(text)] = label
        called[label] = text
    missing = [str(each["row_id"]) for each in records if str(each["row_id"]) not in position]
    if missing:
        raise ValueError(
            f"decisions name rows that the audit has not seen: {listed(missing)}. They are "
            "exported from a report on other rows, or the index of the data frame has changed."
        )
    pairs, differing, listed_ids, own = [], [], ids.tolist(), given.tolist()
    for record in records:
        row = position[str(record["row_id"])]
        label = called[own[row]]
        if _label(record["given_label"], known) != own[row]:
            differing.append(f"{record['row_id']} ({record['given_label']}, now {label})")
        pairs.append((listed_ids[row], _decision(record, known)))
    if differing:
        raise ValueError(
            f"the given labels have changed since the decisions were made: {listed(differing)}. "
            "Review these rows again."
        )
    return pairs


def _check_fields(records):
    """Raise unless every record has the fields that are read, and a known decision."""
    needed = {"row_id", "given_label", "decision", "label"}
    for place, record in enumerate(records):
        absent = needed - set(record) if isinstance(record, Mapping) else needed
        if absent:
            raise ValueError(
                f"exported decisions have the fields {sorted(needed)}; {sorted(absent)} are not in "
                f"record {place}."
            )
        if record["decision"] not in CALLED:
            raise ValueError(
                f"the decision about row {record['row_id']!r} should be one of {sorted(CALLED)}; "
                f"got {record['decision']!r}."
            )


def _decision(record, known):
    """Return the decision of a record as LabelAudit.apply takes it."""
    kind = CALLED[record["decision"]]
    if kind != "relabel":
        return kind
    return "relabel", _label(record["label"], known)  # what is no class is refused with the others


def _label(value, known):
    """The class that a value of a file means, else its text.

    A column of whole numbers with empty cells comes back from pandas as 3.0 for 3.
    """
    text = str(value)
    if text not in known and re.fullmatch(r"-?\d+\.0", text):
        text = text[:-2]
    return known.get(text, text)
