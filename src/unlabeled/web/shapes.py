"""What requests hold and answers say: the models behind /openapi.json."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Row = Annotated[int, Field(ge=0, lt=2**31, description="place of an item in the run, from 0")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Words = Annotated[str, Field(min_length=1, max_length=10_000)]


class Asked(BaseModel):
    """A request; a field that isn't known is an error, not a silence."""

    model_config = ConfigDict(extra="forbid")


class Filter(Asked):
    column: Annotated[str, Field(max_length=500)]
    values: Annotated[list[str | Number | bool], Field(max_length=1_000)] | None = Field(None, alias="in")
    min: Number | None = None
    max: Number | None = None
    contains: Annotated[str, Field(max_length=1_000)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Filter:
        if self.values is None and self.min is None and self.max is None and self.contains is None:
            raise ValueError("give in, min, max or contains")
        return self

    def wanted(self) -> dict[str, Any]:
        return {"column": self.column, "in": self.values, "min": self.min, "max": self.max, "contains": self.contains}


Filters = Annotated[list[Filter], Field(max_length=20)]


class Search(Asked):
    words: Words | None = None
    id: Annotated[str, Field(max_length=10_000)] | None = None
    row: Row | None = None
    vector: Annotated[list[Number], Field(max_length=65_536)] | None = None
    k: Annotated[int, Field(ge=1, le=1_000)] = 20
    filters: Filters = []

    @model_validator(mode="after")
    def _one(self) -> Search:
        if sum(one is not None for one in (self.words, self.id, self.row, self.vector)) != 1:
            raise ValueError("give one of words, id, row and vector")
        return self


class FilterBy(Asked):
    filters: Filters


class Group(Asked):
    k: Literal["auto"] | Annotated[int, Field(ge=1, le=10_000)] = "auto"


class Rename(Asked):
    name: Annotated[str, Field(min_length=1, max_length=200)]


class Merge(Asked):
    clusters: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=2, max_length=10_000)]
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class Label(Asked):
    rows: Annotated[list[Row], Field(min_length=1, max_length=10_000_000)]
    label: Annotated[str, Field(max_length=200)] | None


class RenameClass(Asked):
    from_: Annotated[str, Field(alias="from", max_length=200)]
    to: Annotated[str, Field(max_length=200)] | None


class Predict(Asked):
    method: Literal["probe", "mean", "propagation"] = "probe"
    keep: bool = False


class EmbeddingRequest(BaseModel):
    """OpenAI's request. `model` is the name of an open run; fields beyond these are taken and ignored, as its clients send them."""

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, le=65_536)] | None = None
    user: str | None = None


class Item(BaseModel):
    row: int
    id: str
    text: str | None
    thumbnail: str | None


class ItemWithColumns(Item):
    columns: dict[str, Any]


class Hit(Item):
    rank: int
    score: float


class Found(BaseModel):
    hits: list[Hit]
    milliseconds: float


class ColumnInfo(BaseModel):
    name: str
    kind: Literal["category", "number", "boolean", "text"]
    distinct: int | None
    min: float | None
    max: float | None
    values: list[str] | None
    own: bool


class LabelState(BaseModel):
    count: int
    classes: dict[str, int]
    revision: int


class Labelled(BaseModel):
    row: int
    id: str
    label: str


class AllLabels(LabelState):
    labels: list[Labelled]


class Undone(LabelState):
    rows: list[int]


class RunInfo(BaseModel):
    id: str
    name: str
    path: str
    kind: str
    count: int
    dim: int
    model: bool
    method: str
    description: str
    verdict: str | None
    search: dict[str, bool]
    thumbnails: bool
    texts: bool
    has_report: bool
    map: Literal["kept"]
    columns: list[ColumnInfo]
    labels: LabelState
    matryoshka: list[int] | None


class AllRuns(BaseModel):
    runs: list[RunInfo]


class ClusterInfo(BaseModel):
    cluster: int
    name: str
    size: int
    examples: list[Item]


class Clusters(BaseModel):
    clusters: list[ClusterInfo]
    how: str
    edited: bool


class DuplicateGroup(BaseModel):
    similarity: float
    size: int
    items: list[Item]


class Duplicates(BaseModel):
    items: int
    extra: int
    found: int
    groups: list[DuplicateGroup]


class Odd(Item):
    score: float


class Outliers(BaseModel):
    items: list[Odd]


class Unsure(Item):
    predicted: str
    confidence: float


class Prediction(BaseModel):
    method: str
    labels: int
    items: int
    accuracy: dict[str, float] | None
    largest_class: float
    classes: dict[str, int]
    confidence: dict[str, float]
    unsure: list[Unsure]
    revision: int
    seconds: float


class Suspect(Item):
    label: str
    likely: str
    score: float


class Suspects(BaseModel):
    labels: int
    suspects: int
    share_wrong: float
    items: list[Suspect]


class Comparison(BaseModel):
    shared: int
    only_a: int
    only_b: int
    neighbours_shared: float
    cka: float
    k: int
    by_chance: float
    measured_on: int


class Error(BaseModel):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    error: Error
