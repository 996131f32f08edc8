import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from unlabeled.reproduce.code import fingerprint
from unlabeled.systems import PACKAGE, System, as_json, format_table, systems

REPOSITORY = Path(__file__).resolve().parents[1]
SIMSIAM = "unlabeled/methods/siamese/simsiam.py"


def row(slug: str, **where) -> System:
    return next(system for system in systems(**where) if system.slug == slug)


@pytest.fixture
def house(tmp_path):
    """A package with the code of SimSiam alone, and a folder of results; `commit(verdicts)` writes SimSiam's result."""
    package, results = tmp_path / "unlabeled", tmp_path / "results"
    file = tmp_path / SIMSIAM
    file.parent.mkdir(parents=True)
    file.write_text("class SimSiam:\n    lr = 0.1\n")
    check = package / "reproduce" / "simsiam.py"
    check.parent.mkdir()
    check.write_text("from unlabeled.methods.siamese.simsiam import SimSiam\n\nREPRODUCTION = SimSiam\n")
    results.mkdir()

    def commit(*verdicts):
        result = {"claims": [{"verdict": verdict} for verdict in verdicts], "code": fingerprint("simsiam", package)}
        (results / "simsiam.json").write_text(json.dumps(result))

    return {"package": package, "results": results}, commit, file


def test_there_are_189_systems_in_the_order_of_their_numbers():
    assert [system.number for system in systems()] == list(range(1, 190))


def test_every_slug_is_one_system_only_and_can_be_typed():
    slugs = [system.slug for system in [*systems(), *systems(foundations=True)]]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) for slug in slugs)


def test_every_module_is_in_the_room_that_its_row_names():
    for system in [*systems(), *systems(foundations=True)]:
        assert system.module.startswith("unlabeled." + system.room.replace("/", ".")), system.slug
        assert re.fullmatch(r"[a-z0-9_.]+", system.module) and system.name.isidentifier(), system.slug


def test_no_two_systems_claim_the_same_object():
    objects = [(system.module, system.name) for system in [*systems(), *systems(foundations=True)]]
    assert len(set(objects)) == len(objects)


def test_an_arxiv_number_is_well_formed_and_no_two_systems_share_one():
    numbers = [system.arxiv for system in [*systems(), *systems(foundations=True)] if system.arxiv]
    assert all(re.fullmatch(r"\d\d(0[1-9]|1[0-2])\.\d{4,5}", number) for number in numbers)
    assert len(set(numbers)) == len(numbers) > 200


def test_foundations_are_listed_apart_and_have_no_number():
    foundations = systems(foundations=True)
    assert {"simclr", "moco-v2", "byol", "vicreg", "dino", "lejepa", "mae", "simcse", "word2vec"} <= {f.slug for f in foundations}
    assert all(f.foundation and f.number is None for f in foundations)
    assert not any(system.foundation for system in systems())


def test_every_card_has_its_row(data_folder):
    cards = data_folder.parent / "cards"
    if not cards.is_dir():
        pytest.skip("needs the folder of cards beside the data sets")
    rows = {system.card: system for system in systems()}
    assert rows.keys() == {path.stem for path in cards.glob("[0-9]*.md")}
    for card, row in rows.items():
        head = dict(re.findall(r"^(\w+): (.*)$", (cards / f"{card}.md").read_text(encoding="utf-8").split("---")[1], re.MULTILINE))
        said = (str(row.number), row.slug, row.kind, row.room, str(row.year))
        assert said == tuple(head[field] for field in ("n", "slug", "kind", "room", "year"))


def test_a_system_without_code_is_not_yet_there(house):
    where, _, file = house
    file.unlink()
    assert row("simsiam", **where).state == "not yet"


def test_a_module_that_does_not_define_the_system_is_not_its_code(house):
    where, _, file = house
    file.write_text('"""SimSiam: to come."""\n')
    assert row("simsiam", **where).state == "not yet"


def test_code_without_a_committed_result_works_only_partly(house):
    where, _, _ = house
    assert (row("simsiam", **where).state, row("simsiam", **where).why) == ("partly", "no committed reproduction")
    assert row("swav", **where).state == "not yet"


def test_a_system_whose_claims_all_hold_works(house):
    where, commit, _ = house
    commit("holds", "holds")
    assert (row("simsiam", **where).state, row("simsiam", **where).why) == ("works", "2 of 2 claims hold")


@pytest.mark.parametrize("verdict", ["fails", "not shown at this scale"])
def test_one_claim_that_does_not_hold_is_told(house, verdict):
    where, commit, _ = house
    commit("holds", verdict)
    assert (row("simsiam", **where).state, row("simsiam", **where).why) == ("partly", "1 of 2 claims hold")


def test_a_result_without_claims_proves_nothing(house):
    where, commit, _ = house
    commit()
    assert row("simsiam", **where).state == "partly"


def test_a_result_older_than_the_code_is_told(house):
    where, commit, file = house
    commit("holds")
    file.write_text(file.read_text().replace("0.1", "0.2"))
    assert (row("simsiam", **where).state, row("simsiam", **where).why) == ("partly", "1 of 1 claims hold, measured on older code")


def test_a_comment_or_a_definition_that_is_not_used_makes_no_result_older(house):
    where, commit, file = house
    commit("holds")
    file.write_text("# a remark\n" + file.read_text() + "\n\ndef another():\n    return 1\n")
    assert row("simsiam", **where).state == "works"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"claims": [{}], "code": {}}', '{"claims": 3, "code": {}}'])
def test_a_broken_result_file_is_told_and_stops_nothing(house, content):
    where, _, _ = house
    (where["results"] / "simsiam.json").write_text(content)
    assert (row("simsiam", **where).state, row("simsiam", **where).why) == ("partly", "simsiam.json is not a result file")


def test_the_table_ends_with_the_counts(house):
    where, commit, _ = house
    commit("holds")
    lines = format_table(systems(**where)).splitlines()
    assert lines[-1] == "189 systems: 1 works, 0 partly, 188 not yet"
    assert len(lines) == 1 + 189 + 2 and max(map(len, lines)) <= 140
    assert any("simsiam" in line and "works" in line for line in lines)
    assert format_table(systems(foundations=True, **where)).splitlines()[-1].startswith("28 foundations: ")


def test_the_json_says_the_same_as_the_rows():
    rows = systems()
    assert [System(**fields) for fields in json.loads(as_json(rows))] == rows


def test_listing_the_systems_imports_nothing_beyond_the_standard_library():
    code = "import sys, unlabeled.systems as s; s.format_table(s.systems()); print(*{m.split('.')[0] for m in sys.modules})"
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    told = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    assert set(told.split()) - sys.stdlib_module_names <= {"unlabeled", "__main__"}
