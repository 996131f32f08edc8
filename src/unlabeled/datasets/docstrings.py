"""The docstrings of this Python's own standard library: about 8,000 texts that any machine has. Files are parsed, never imported."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from unlabeled.data import Items
from unlabeled.data.items import unique

PASSED_OVER = ("site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "__phello__")


def docstrings() -> Items:
    """Texts of two words and more; ids such as 'gzip.open'; columns module and kind (module, class, function, method)."""
    root = Path(sysconfig.get_path("stdlib"))
    found = []
    for path in sorted(root.rglob("*.py")):
        steps = path.relative_to(root).with_suffix("").parts
        if any(step in PASSED_OVER or step.startswith(("test_", "config-")) for step in steps):
            continue
        module = ".".join(steps[:-1] if steps[-1] == "__init__" and len(steps) > 1 else steps)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")            # old escapes in strings
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):                  # templates, and files kept broken on purpose
            continue
        found += [(name, text, module, kind) for name, text, kind in _documented(tree, module, "module") if len(text.split()) > 1]
    ids, _ = unique([name for name, *_ in found])
    return Items("text", [text for _, text, _, _ in found], ids, {"module": [module for _, _, module, _ in found],
                 "kind": [kind for *_, kind in found]}, source="docstrings")


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
