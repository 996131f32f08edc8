"""Small knowledge graphs with texts that say what they say: WebNLG."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlabeled.datasets.named import HOW, VARIABLE
from unlabeled.errors import InputError


@dataclass(frozen=True, eq=False)
class TextGraphs:
    """graphs: (subject, property, object) each, as DBpedia names them; texts: those people wrote of each; category: its topic."""

    graphs: list[tuple[tuple[str, str, str], ...]]
    texts: list[list[str]]
    category: np.ndarray


def webnlg() -> TextGraphs:
    """9,672 graphs of 1 to 7 facts in 15 categories, 25,292 texts (Gardent et al., 2017). InputError: no such file."""
    import pyarrow.parquet as pq

    path = Path(os.environ.get(VARIABLE, "")) / "webnlg" / "webnlg.parquet"
    if not path.is_file():
        raise InputError(f"no file {str(path)!r}: {HOW}")
    rows = pq.read_table(path).to_pydict()
    graphs = [tuple((str(s), str(p), str(o)) for s, p, o in facts) for facts in rows["triples"]]
    return TextGraphs(graphs, rows["texts"], np.asarray(rows["category"], dtype=str))


__all__ = ["TextGraphs", "webnlg"]
