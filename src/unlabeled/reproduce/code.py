"""Which code a result was measured with, as text: the definitions that a reproduction reaches, without comments and docstrings.

Nothing is imported. Only what can change a number counts: the reproduction itself, methods, parts, views, encoders, tasks,
measures and studies, definition by definition, so a new loss beside the one that was used makes no result old. Of the
training loop only the settings of `Learner` count; the loop, reading and saving have tests of their own.
"""

from __future__ import annotations

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
COUNTED = ("methods", "parts", "views", "encoders", "tasks", "evaluate", "studies", "reproduce", "learner", "vectors")
# What those hold that changes no number; of `methods` itself that is the table of names.
APART = ("reproduce.harness", "reproduce.claims", "reproduce.runner", "reproduce.sources", "reproduce.code", "parts.gather", "methods")
# Settings of `Learner` that say where it trains, not what.
WHERE = ("device", "devices", "nodes", "strategy", "precision", "embed_precision", "compile")
SETTINGS = "unlabeled.reproduce.settings"  # what every reproduction is measured with


def fingerprint(slug: str, package: Path = PACKAGE) -> dict[str, str]:
    """{file: SHA-256 of the definitions in it that the reproduction of this system uses}; empty where there is none."""
    module = f"unlabeled.reproduce.{slug.replace('-', '_')}"
    if _path(module, package) is None:
        return {}
    return _hashes([(module, None), (SETTINGS, None)], package)


def fingerprint_of(module: str, name: str, package: Path = PACKAGE) -> dict[str, str]:
    """The same for one class or function, with what everything is measured with."""
    return _hashes([(module, name), (SETTINGS, None)], package)


def _hashes(roots: list[tuple[str, str | None]], package: Path) -> dict[str, str]:
    seen: dict[tuple[str, str], str] = {}
    todo, visited = list(roots), set()
    while todo:
        module, name = todo.pop()
        if (module, name) in visited:
            continue
        visited.add((module, name))
        found = _module(module, package)
        if found is None:
            continue
        definitions, imports = found
        names = list(definitions) if name is None else [name]
        for one in names:
            if (module, one) in seen:
                continue
            if one in imports and one not in definitions:
                todo.append(imports[one])
                continue
            if one not in definitions:
                continue
            text, references, direct = definitions[one]
            seen[module, one] = text
            todo += [(module, other) for other in references if other in definitions or other in imports]
            todo += direct
    files: dict[str, list[str]] = {}
    for (module, name), text in sorted(seen.items()):
        path = _path(module, package)
        assert path is not None
        files.setdefault(path.relative_to(package.parent).as_posix(), []).append(f"{name}: {text}")
    return {file: hashlib.sha256("\n".join(parts).encode()).hexdigest() for file, parts in sorted(files.items())}


def _path(module: str, package: Path) -> Path | None:
    below = module.split(".")[1:]
    path = package.joinpath(*below)
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if below and file.is_file():
            return file
    return None


def _counted(module: str) -> bool:
    head, _, rest = module.partition(".")
    return head == "unlabeled" and rest.split(".")[0] in COUNTED and rest not in APART


def _module(module: str, package: Path):
    path = _path(module, package) if _counted(module) else None
    if path is None:
        return None
    changed = tuple(file.stat().st_mtime_ns for file in (path, path.with_suffix(".c")) if file.is_file())
    return _parsed(module, path, changed, package)


@lru_cache(maxsize=512)
def _parsed(module: str, path: Path, changed: tuple[int, ...], package: Path):
    """Definitions {name: (text, names it uses, imports inside it)} and imports {name: (module, name)} of one file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    loop = path.with_suffix(".c")  # compiled for this file: all of it counts for whatever the file defines
    compiled = loop.read_text(encoding="utf-8") if loop.is_file() else ""
    imports: dict[str, tuple[str, str | None]] = {}
    definitions: dict[str, tuple[str, list[str], list[tuple[str, str | None]]]] = {}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports |= _imported(node, module, path, package)
            continue
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]  # A, B = 1, 2 has two
        else:
            continue
        counted: ast.AST = node
        if module == "unlabeled.learner":
            if not (isinstance(node, ast.ClassDef) and node.name == "Learner"):
                continue
            fields = [part for part in node.body if isinstance(part, ast.AnnAssign) and ast.unparse(part.target) not in WHERE]
            counted = ast.Module(list(fields), [])
        inside = [n for n in ast.walk(counted) if isinstance(n, ast.Import | ast.ImportFrom)]
        direct = [target for one in inside for target in _imported(one, module, path, package).values()]
        uses = sorted({n.id for n in ast.walk(counted) if isinstance(n, ast.Name)})
        definitions |= dict.fromkeys(names, (_text(counted) + compiled, uses, direct))
    return definitions, imports


def _imported(node: ast.Import | ast.ImportFrom, module: str, path: Path, package: Path) -> dict[str, tuple[str, str | None]]:
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name: (alias.name, None) for alias in node.names if alias.asname}
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        parts = parts[: len(parts) - node.level + (path.name == "__init__.py")]
        base = ".".join([*parts, *([node.module] if node.module else [])])
    found: dict[str, tuple[str, str | None]] = {}
    for alias in node.names:
        whole = f"{base}.{alias.name}"
        found[alias.asname or alias.name] = (whole, None) if _path(whole, package) else (base, alias.name)
    return found


def _text(node: ast.AST) -> str:
    """The code of a definition without docstrings."""
    copy = ast.parse(ast.unparse(node))
    for inner in ast.walk(copy):
        body = getattr(inner, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            if isinstance(body[0].value.value, str):
                inner.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(copy)
