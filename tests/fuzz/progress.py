"""Finished problems of a campaign, in a folder: read when it goes on, whatever ended it."""

import json
import os
from dataclasses import astuple
from pathlib import Path

from skinfluence._store import write_whole
from tests.fuzz.campaign import Record
from tests.fuzz.draw import draw
from tests.fuzz.questions import Finding, Tally

# Problems a file: what a process loses at most when it is ended, besides the one at hand.
TOGETHER = 10


class Progress:
    """Records of a campaign in files, each written whole or not at all.

    A problem is drawn again from its seed, so a file holds only what came of it. Where two files
    hold the same problem the later one counts.
    """

    def __init__(self, folder, seed, n_questions):
        self.folder, self.seed = Path(folder), seed
        self.campaign = {"seed": seed, "questions": n_questions}
        self.folder.mkdir(parents=True, exist_ok=True)
        self.waiting = []

    def records(self):
        """Those that are finished, by their numbers."""
        found = {}
        for path in sorted(self.folder.glob("*.json")):
            kept = json.loads(path.read_text())
            if kept["campaign"] != self.campaign:
                raise ValueError(f"{path} is of {kept['campaign']}, not of {self.campaign}.")
            for entry in kept["records"]:
                found[entry["index"]] = self._read(entry)
        return dict(sorted(found.items()))

    def add(self, record):
        """Keep one more, on the disk as soon as there are some of them."""
        self.waiting.append(record)
        if len(self.waiting) >= TOGETHER or record.tally.findings:
            self.flush()

    def flush(self):
        """Write what is not on the disk yet."""
        if not self.waiting:
            return
        numbers = [int(path.name.split("-")[0]) for path in self.folder.glob("*.json")]
        path = self.folder / f"{max(numbers, default=0) + 1:06d}-{os.getpid()}.json"
        kept = {"campaign": self.campaign, "records": list(map(self._written, self.waiting))}
        text = json.dumps(kept, indent=1)
        write_whole(path, lambda file: file.write(text.encode()))
        self.waiting = []

    @staticmethod
    def _written(record):
        tally = record.tally
        return {
            "index": record.index,
            "seconds": record.seconds,
            "counts": tally.counts,
            "findings": [astuple(finding) for finding in tally.findings],
            "refusals": tally.refusals,
        }

    def _read(self, entry):
        problem, kinds = draw(self.seed, entry["index"])
        tally = Tally(
            findings=[Finding(*each) for each in entry["findings"]],
            counts=entry["counts"],
            refusals=[tuple(each) for each in entry["refusals"]],
        )
        return Record(entry["index"], problem, kinds, tally, entry["seconds"])
