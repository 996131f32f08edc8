"""What this Python's standard library says of itself, as a graph and as facts that any machine has. Files are parsed, never imported."""

from __future__ import annotations

import ast
import functools
import gc
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from unlabeled.data import Items
from unlabeled.data.graphs import Graph, Triples
from unlabeled.datasets.docstrings import _modules, _parsed

IMPORTS, PART, DEFINED, EXTENDS, HAS = "imports", "is part of", "is defined in", "is a", "has method"


def python_facts() -> Items:
    """Triples: modules that import modules or are part of packages, classes that are defined in modules, are of others, have methods.

    Some 20,000 facts about 9,000 things; a method is known by its bare name, so that classes which can do the same are joined.
    """
    facts = _facts()
    triples = Triples.of(facts)
    return Items("triples", triples, list(triples.entities), source="python_facts")


def python_imports() -> Items:
    """A graph of the modules, joined where one imports the other; the package that a module belongs to as the column label."""
    pairs = [(head, tail) for head, relation, tail in _facts() if relation == IMPORTS]
    names = sorted({name for pair in pairs for name in pair})
    number = {name: row for row, name in enumerate(names)}
    graph = Graph.of([(number[a], number[b]) for a, b in pairs], len(names))
    return Items("graph", graph, names, {"label": [name.partition(".")[0] for name in names]}, source="python_imports")


@functools.cache
def _facts() -> list[tuple[str, str, str]]:
    root = Path(sysconfig.get_path("stdlib"))
    collecting = gc.isenabled()
    gc.disable()  # trees have no cycles, and looking for some in them takes as long as parsing
    try:
        modules = [(name, path) for name, path in _modules(root) if name]
        known = {name for name, _ in modules}
        found: dict[tuple[str, str, str], None] = {}  # a dict keeps the order
        for name, path in modules:
            package = name.rpartition(".")[0]
            if package in known:
                found[name, PART, package] = None
            tree = _parsed(path)
            base = name if path.name == "__init__.py" else package
            for node in _statements(tree):
                for other in _imported(node, base, known):
                    if other != name:
                        found[name, IMPORTS, other] = None
            for part in ast.iter_child_nodes(tree):
                if isinstance(part, ast.ClassDef):
                    found |= dict.fromkeys(_of_class(part, name))
    finally:
        if collecting:
            gc.enable()
    return list(found)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements, those within others too; nothing is imported within an expression."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        inside = getattr(node, block, None)
        for one in inside if isinstance(inside, list) else ():
            if isinstance(one, ast.stmt):
                yield one
            yield from _statements(one)


def _imported(node: ast.AST, base: str, known: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        parts = base.split(".") if base else []
        above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
        origin = ".".join(part for part in (above, node.module or "") if part)
        names = [f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in known else origin for alias in node.names]
    else:
        return []
    return [name for name in names if name in known]


def _of_class(node: ast.ClassDef, module: str) -> list[tuple[str, str, str]]:
    name = f"{module}.{node.name}"
    said = [(name, DEFINED, module)]
    said += [(name, EXTENDS, ast.unparse(base).rpartition(".")[2]) for base in node.bases if isinstance(base, ast.Name | ast.Attribute)]
    methods = (part.name for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef))
    return said + [(name, HAS, f"{method}()") for method in methods]
