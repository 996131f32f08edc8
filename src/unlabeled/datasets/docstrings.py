"""The docstrings of this Python's own standard library: about 8,000 texts that any machine has. Files are parsed, never imported."""

from __future__ import annotations

import ast
import gc
import os
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from unlabeled.data import Items
from unlabeled.data.items import unique

PASSED_OVER = ("site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "__phello__")


def docstrings() -> Items:
    """Texts of two words and more; ids such as 'gzip.open'; columns module and kind (module, class, function, method)."""
    found, collecting = [], gc.isenabled()
    gc.disable()  # trees have no cycles, and looking for some in them takes as long as parsing
    try:
        for name, path in _modules(Path(sysconfig.get_path("stdlib"))):
            found += [(*entry, name) for entry in _documented(_parsed(path), name, "module") if len(entry[1].split()) > 1]
    finally:
        if collecting:
            gc.enable()
    ids, _ = unique([name for name, *_ in found])
    columns = {"module": [module for *_, module in found], "kind": [kind for _, _, kind, _ in found]}
    return Items("text", [text for _, text, *_ in found], ids, columns, source="docstrings")


def _modules(root: Path) -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of the library's modules, in order, without its tests and what was installed into it."""
    for where, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in PASSED_OVER and not name.startswith("config-"))
        package = Path(where).relative_to(root).parts
        for file in sorted(files):
            if file.endswith(".py") and not file.startswith("test_"):
                yield ".".join(package if file == "__init__.py" else (*package, file[:-3])), Path(where, file)


def _parsed(path: Path) -> ast.AST:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in strings
            return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # templates, and files kept broken on purpose
        return ast.Pass()


def _documented(node: ast.AST, name: str, kind: str) -> Iterator[tuple[str, str, str]]:
    """(name, docstring, kind) of a module, class or function and of what it holds; what is inside functions is nobody's to call."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if text := ast.get_docstring(node):
            yield name, text.encode("utf-8", "replace").decode(), kind
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = "class" if isinstance(child, ast.ClassDef) else "method" if isinstance(node, ast.ClassDef) else "function"
            yield from _documented(child, f"{name}.{child.name}", inner)
        elif isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _documented(child, name, kind)
