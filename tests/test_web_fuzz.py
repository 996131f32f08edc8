"""The OpenAPI document, tried out by a machine: whatever is sent that looks like a request, the server doesn't break."""

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

import unlabeled as ul
from unlabeled.data import Items
from unlabeled.web.app import application
from unlabeled.web.opened import Runs

EXAMPLES = 12
LIKELY = {  # names that are there, or next to every request would end as a 404
    "run": {"type": "string", "enum": ["t", "p", "no"]},
    "a": {"type": "string", "enum": ["t", "p"]},
    "b": {"type": "string", "enum": ["t", "p"]},
    "name": {"type": "string", "enum": ["t", "n", "cluster", "x", "density", "label"]},
    "row": {"type": "integer", "minimum": -1, "maximum": 70},
    "rows": {"type": "string", "pattern": "^[0-9]{1,2}(,[0-9]{1,2}){0,3}$"},
    "cluster": {"type": "integer", "minimum": -1, "maximum": 5},
}


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("fuzz"), np.random.default_rng(0)
    texts = [" ".join(rng.choice(["cat", "dog", "sea", "ship", "bread"], 5)) for _ in range(60)]
    ul.learn(
        Items("text", texts, [f"a/{n}" for n in range(60)], columns={"n": np.arange(60)}),
        method="tfidf-svd",
        settings={"dim": 4},
        out=folder / "t",
    )
    pictures = rng.integers(0, 255, (40, 8, 8, 1), dtype=np.uint8)
    ul.import_vectors(rng.normal(size=(40, 6)), Items("image", pictures), folder / "p")
    opened = Runs([folder / "t", folder / "p"])
    schema = schemathesis.openapi.from_asgi("/openapi.json", application(opened, hosts=None))
    for path in schema.raw_schema["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", []):
                parameter["schema"] = LIKELY.get(parameter["name"], parameter["schema"])
    yield schema
    opened.close()


def answers_of(operation) -> list[int]:
    """The statuses of some requests that the document allows for one operation; fails at the first 5xx."""
    found: list[int] = []

    @given(case=operation.as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def ask(case):
        answer = case.call()
        found.append(answer.status_code)
        case.validate_response(answer, checks=[not_a_server_error])

    ask()
    return found


def test_no_request_breaks_the_server(document):
    tried = {operation.label: answers_of(operation) for operation in (found.ok() for found in document.get_all_operations())}
    assert len(tried) > 25
    unanswered = [label for label, answers in tried.items() if 200 not in answers]
    assert len(unanswered) < 10, unanswered  # most were tried with something that they can do
