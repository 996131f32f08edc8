"""Test collections of retrieval: documents, queries, and which documents are relevant to which query."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlabeled.datasets.named import HOW, VARIABLE
from unlabeled.errors import InputError

FILES = ("docs", "queries", "qrels")


@dataclass(frozen=True)
class Collection:
    """docs, queries: texts. relevant: for each query the rows of its relevant documents; queries without any are left out."""

    docs: list[str]
    queries: list[str]
    relevant: list[set[int]]


def is_collection(name: str) -> bool:
    """Whether that folder, or set in $UNLABELED_DATA, holds a collection."""
    return all((_folder(name) / f"{part}.parquet").is_file() for part in FILES)


def collection(name: str) -> Collection:
    """A set in $UNLABELED_DATA, or a folder, with docs.parquet (doc, text, maybe title), queries.parquet (query, text), qrels.parquet
    (query, doc: every row is a relevant document). Documents without text are left out. InputError: there is no such thing.
    """
    import pyarrow.parquet as pq

    if not is_collection(name):
        raise InputError(f"{name} has no docs.parquet, queries.parquet and qrels.parquet: name a folder that has, or {HOW}")
    tables = {part: pq.read_table(_folder(name) / f"{part}.parquet").to_pydict() for part in FILES}
    docs = {doc: text for doc, text in zip(tables["docs"]["doc"], _texts(tables["docs"]), strict=True) if text}
    row = {doc: i for i, doc in enumerate(docs)}
    judged: dict[Any, set[int]] = {}
    for query, doc in zip(tables["qrels"]["query"], tables["qrels"]["doc"], strict=True):
        if doc in row:
            judged.setdefault(query, set()).add(row[doc])
    asked = [(q, text) for q, text in zip(tables["queries"]["query"], tables["queries"]["text"], strict=True) if q in judged and text]
    return Collection(list(docs.values()), [text for _, text in asked], [judged[q] for q, _ in asked])


def _texts(table: dict[str, list[Any]]) -> list[str]:
    """Title and text, the title once."""
    titles = [one or "" for one in table.get("title", [""] * len(table["text"]))]
    return [
        (text if text.startswith(title) else f"{title}. {text}").strip()
        for title, text in zip(titles, (t or "" for t in table["text"]), strict=True)
    ]


def _folder(name: str) -> Path:
    return Path(name) if Path(name).exists() else Path(os.environ.get(VARIABLE, "")) / name
