"""What pip will see: ranges that the pins satisfy, and a wheel that has everything the code reads at run time."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import unlabeled

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "unlabeled"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [line.split("#")[0].strip() for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()]
PINS = {canonicalize_name(pin.name): pin for pin in map(Requirement, filter(None, LINES))}


def version(name: str) -> str:
    return str(PINS[canonicalize_name(name)].specifier).removeprefix("==")


def test_every_dependency_has_one_exact_pin_inside_its_range():
    extras = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *extras]):
        assert requirement.specifier.contains(version(requirement.name)), requirement


def test_every_pin_is_exact_and_fits_a_cpu_build_as_well_as_a_gpu_build():
    exact = {name: pin for name, pin in PINS.items() if name != "torchvision"}
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in exact.values())
    assert not any(name.startswith("nvidia-") or name == "triton" for name in exact)
    assert "+" not in version("torch")


def test_whatever_the_code_imports_is_declared():
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").split(".")[0])
    extras = [requirement for name in ("minilm", "rdf", "ray") for requirement in PROJECT["optional-dependencies"][name]]
    declared = [*PROJECT["dependencies"], *extras]
    names = {canonicalize_name(Requirement(requirement).name) for requirement in declared}
    brought_by = packages_distributions()
    foreign = imported - sys.stdlib_module_names - {"unlabeled"}
    undeclared = {module for module in foreign if not names & {canonicalize_name(name) for name in brought_by.get(module, [module])}}
    assert undeclared == set()


def test_torchvision_can_come_in_by_no_way():
    assert not any(PINS["torchvision"].specifier.contains(v) for v in ["0.1", "0.28.0", "1.0"])
    assert "torchvision" not in str(PROJECT["dependencies"]) + str(PROJECT["optional-dependencies"])


def test_the_malware_versions_of_lightning_are_excluded():
    fabric = next(r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "lightning-fabric")
    assert not fabric.specifier.contains("2.6.2") and not fabric.specifier.contains("2.6.3") and fabric.specifier.contains("2.6.6")


def test_one_version_number_stands_everywhere(wheel):
    assert wheel.filename and f"/unlabeled-{unlabeled.__version__}-py3" in wheel.filename
    assert f"\nversion: {unlabeled.__version__}\n" in (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {unlabeled.__version__} " in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_has_every_file_of_the_package_and_the_committed_results(wheel):
    def files(folder, prefix):
        return {prefix + path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    wanted = files(PACKAGE, "unlabeled/") | files(REPOSITORY / "docs" / "reproductions", "unlabeled/reproductions/")
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == wanted
    assert "unlabeled/papers.toml" in inside


def test_the_wheel_works_from_another_folder(wheel, tmp_path):
    site = tmp_path / "site"
    wheel.extractall(site)
    code = "import unlabeled.systems as s; print(s.__file__); print(s.format_table(s.systems()))"
    env = {**os.environ, "PYTHONPATH": str(site)}
    told = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    lines = told.stdout.splitlines()
    assert lines[0].startswith(str(site)) and lines[-1].startswith("189 systems: ")
