"""docs/architecture.md says which room may import which; here the code is held to it."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "unlabeled"
DOORS = {"__init__", "__main__"}  # the package's own doors lead into every room
HEAVY = {"torch", "lancedb", "sklearn", "pyarrow", "scipy", "faiss", "openTSNE", "transformers", "lightning_fabric", "PIL", "numpy"}


def floors(page: str) -> dict[str, int]:
    """Room -> its line in the page's table of rooms, counted from the ground floor; rooms that share a line share the floor."""
    table = page.split("## Rooms")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    return {re.sub(r"/$|\.py$", "", room): floor for floor, line in enumerate(lines) for room in re.findall(r"`([^`]+)`", line)}


def imported(source: str, module: list[str], is_package: bool) -> set[str]:
    """The rooms of `unlabeled` that one module's source imports, anywhere in it; through the package's door, the names it takes there."""
    tree = ast.parse(source)
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name != "unlabeled"]
            door = {alias.asname or alias.name for alias in node.names if alias.name == "unlabeled"}
            uses = (use for use in ast.walk(tree) if isinstance(use, ast.Attribute))
            names += [f"unlabeled.{use.attr}" for use in uses if ast.unparse(use.value) in door]
        elif isinstance(node, ast.ImportFrom):
            base = module[: len(module) - node.level + is_package] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names += [f"{origin}.{alias.name}" for alias in node.names] if origin == "unlabeled" else [origin]
    return {name.split(".")[1] for name in names if name.startswith("unlabeled.")} - {"__version__"}


def violations(package: Path, floor: dict[str, int]) -> list[str]:
    found = []
    for path in sorted(package.rglob("*.py")):
        module = ["unlabeled", *path.relative_to(package).with_suffix("").parts]
        is_package = module[-1] == "__init__"
        room, name = module[1], ".".join(module[: len(module) - is_package])
        if room in DOORS:
            continue
        if room not in floor:
            found.append(f"{name}: the room {room} is not in the table of docs/architecture.md")
            continue
        for other in sorted(imported(path.read_text(encoding="utf-8"), module[: len(module) - is_package], is_package) - {room}):
            if floor.get(other, len(floor)) > floor[room]:
                found.append(f"{name} imports {other}, which is not above {room} in docs/architecture.md")
    return found


def test_every_room_imports_only_from_rooms_above_it():
    floor = floors((REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8"))
    assert list(floor)[:2] == ["errors", "data"] and floor["cli"] == max(floor.values()), floor
    assert violations(PACKAGE, floor) == []


def test_an_import_from_below_is_found_however_it_is_written(tmp_path):
    floor = {"errors": 0, "data": 1, "methods": 2, "tasks": 3}
    absolute = ["import unlabeled.tasks", "from unlabeled.tasks.cluster import x", "from unlabeled import tasks"]
    relative = ["from ..tasks import x", "from .. import tasks", "from ..tasks.cluster import x"]
    for line in [*absolute, *relative, "def f():\n    from unlabeled.tasks import x", "import unlabeled as ul\nul.learn()"]:
        (tmp_path / "methods").mkdir(exist_ok=True)
        (tmp_path / "methods" / "a.py").write_text(line + "\n")
        assert len(violations(tmp_path, floor)) == 1, line
    above = ["import unlabeled.data", "from ..errors import x", "from . import b", "from unlabeled.methods import b"]
    for line in [*above, "import torch", "import unlabeled\nunlabeled.__version__"]:
        (tmp_path / "methods" / "a.py").write_text(line + "\n")
        assert violations(tmp_path, floor) == [], line


def test_a_room_that_the_page_does_not_name_is_found(tmp_path):
    (tmp_path / "cellar.py").write_text("")
    assert violations(tmp_path, {"data": 0}) == ["unlabeled.cellar: the room cellar is not in the table of docs/architecture.md"]


def test_the_example_system_of_the_contributors_page_learns_and_keeps_its_promises():
    page = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    example: dict = {"__name__": "example"}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], example)
    images = load_digits().images[:256] / 16
    system = example["BYOL"](encoder="conv4", epochs=2, batch_size=128)
    vectors = system.fit(images).transform(images)
    assert vectors.shape[0] == 256 and np.isfinite(vectors).all() and vectors.std(axis=0).max() > 0
    assert all(-1 <= loss <= 1 for loss in system.loss_curve_)
    assert all(parameter.grad is None for parameter in system.net_.teacher.parameters())


def test_importing_unlabeled_and_its_command_line_loads_nothing_heavy():
    door = "import unlabeled" + (", unlabeled.cli" if (PACKAGE / "cli.py").is_file() else "")
    code = f"import sys; {door}; print(*{{m.split('.')[0] for m in sys.modules}})"
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout.split()
    assert not HEAVY & set(loaded)


def test_every_method_is_found_at_the_front_door_by_its_class():
    import unlabeled
    from unlabeled.methods import NAMED, method

    for name in NAMED:
        kind = method(name)
        assert getattr(unlabeled, kind.__name__) is kind and kind.__name__ in dir(unlabeled), name


def test_every_estimator_of_the_tasks_is_found_at_the_front_door():
    import unlabeled
    from unlabeled.tasks import NAMED

    for name, path in NAMED.items():
        assert getattr(unlabeled, name).__module__ == path.rpartition(".")[0], name
