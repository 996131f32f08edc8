"""The labels that a person gives to a run's items, kept in its folder as they are given: `labels.jsonl`, one change a line.

Each change is on the disk before `set` returns, so that a killed process loses none that was acknowledged; a last line that was cut off
is a change that was never acknowledged, and is dropped. Items are named by their ids, so the labels outlive a run that is made anew.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unlabeled.errors import InputError
from unlabeled.representation import Representation

FILE = "labels.jsonl"
LONGEST = 200  # characters of a label
UNDOS = 100  # changes that can be taken back


class Labels:
    """One label at most for each item of a run. Safe to use from several threads; one process at a time may write.

    Raises InputError for rows that aren't there, labels that are empty or too long, and a run that another process labels.
    """

    def __init__(self, run: Representation):
        self.run, self.path = run, run.path / FILE
        self.of_row: dict[int, str] = {}
        self.revision = 0  # changes since the beginning, undone ones and undoings too
        self._undo: list[dict[int, str | None]] = []  # what each change replaced
        self._lock = threading.RLock()
        self._file: Any = None
        self._replay()

    def __len__(self) -> int:
        return len(self.of_row)

    def classes(self) -> dict[str, int]:
        """The classes and how many items have each, most first."""
        with self._lock:
            return dict(sorted(Counter(self.of_row.values()).items(), key=lambda pair: (-pair[1], pair[0])))

    def values(self) -> list[str]:
        """One label for each item, "" where there is none: what the classifiers of `jobs` take."""
        with self._lock:
            return [self.of_row.get(row, "") for row in range(len(self.run))]

    def listed(self) -> list[tuple[int, str]]:
        """(row, label) of all that have one, by row."""
        with self._lock:
            return sorted(self.of_row.items())

    def set(self, rows: Iterable[int], label: str | None) -> None:
        """Give `rows` this label, or take theirs away with None."""
        rows, label = self._rows(rows), self._name(label)
        with self._lock:
            self._write({"label": label, "ids": [self.run.ids[row] for row in rows]})
            self._change(dict.fromkeys(rows, label))

    def rename(self, old: str, new: str | None) -> None:
        """Another name for a class; that of another class merges the two, None takes the labels away."""
        new = self._name(new)
        with self._lock:
            if old not in self.of_row.values():
                known = ", ".join(list(self.classes())[:10]) or "none yet"
                raise InputError(f"no item is labelled {old!r}; the classes are: {known}")
            self._write({"rename": old, "to": new})
            self._change({row: new for row, label in self.of_row.items() if label == old})

    def undo(self) -> list[int]:
        """Take the last change back; the rows whose labels it touched."""
        with self._lock:
            if not self._undo:
                raise InputError("there is nothing to undo")
            self._write({"undo": True})
            return self._undone()

    def close(self) -> None:
        """Let another process label the run."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _change(self, change: dict[int, str | None]) -> None:
        self._undo.append({row: self.of_row.get(row) for row in change})
        del self._undo[:-UNDOS]
        self._put(change)

    def _undone(self) -> list[int]:
        before = self._undo.pop()
        self._put(before)
        return sorted(before)

    def _put(self, change: dict[int, str | None]) -> None:
        self.revision += 1
        for row, label in change.items():
            if label is None:
                self.of_row.pop(row, None)
            else:
                self.of_row[row] = label

    def _rows(self, rows: Iterable[int]) -> list[int]:
        found = list(dict.fromkeys(int(row) for row in rows))
        if not found:
            raise InputError("no rows were given: pick at least one item")
        outside = [row for row in found if not 0 <= row < len(self.run)]
        if outside:
            raise InputError(f"row {outside[0]} is to be labelled; {self.run.path} has rows 0 to {len(self.run) - 1}")
        return found

    def _name(self, label: str | None) -> str | None:
        if label is None:
            return None
        name = " ".join("".join(letter if letter.isprintable() else " " for letter in label).split())
        if not name or name == "-1":
            raise InputError("a label needs a name (-1 stands for none)")
        if len(name) > LONGEST:
            raise InputError(f"a label of {len(name):,} characters: wanted at most {LONGEST}")
        return name

    def _write(self, change: dict[str, Any]) -> None:
        if self._file is None:
            self._file = _opened(self.path)
        line = json.dumps(change | {"at": datetime.now(UTC).isoformat(timespec="seconds")}, ensure_ascii=False)
        self._file.write(line.encode("utf-8", "surrogatepass") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _replay(self) -> None:
        if not self.path.exists():
            return
        row_of = {name: row for row, name in enumerate(self.run.ids)}
        lines = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                change = json.loads(line.decode("utf-8", "surrogatepass"))
            except ValueError:
                if number == len(lines):
                    break  # cut off while it was written: it was never acknowledged
                raise InputError(f"{self.path} is damaged in line {number}: mend or remove that line") from None
            if "undo" in change:
                self._undone() if self._undo else None
            elif "rename" in change:
                self._change({row: change["to"] for row, label in self.of_row.items() if label == change["rename"]})
            else:
                self._change({row_of[name]: change["label"] for name in change["ids"] if name in row_of})


def _opened(path: Path) -> Any:
    """The file at its end, after whatever was cut off is removed, locked against other processes where the system can."""
    file = path.open("a+b")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows: two servers of one run aren't found out there
        pass
    except OSError:
        file.close()
        raise InputError(f"{path.parent} is being labelled by another process: close that one first") from None
    file.seek(0)
    whole = file.read()
    end = whole.rfind(b"\n") + 1
    if end < len(whole):
        file.truncate(end)
    return file
