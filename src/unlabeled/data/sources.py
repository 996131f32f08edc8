"""Tables on disk (.csv, .tsv, .jsonl, .parquet, .txt) and in memory, read in batches, as often as needed."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlabeled.data.images import MAGIC
from unlabeled.data.items import count, listed, short, unique
from unlabeled.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 32 << 20  # bytes of a .csv parsed at once; no row may be longer
ROWS = 10_000  # rows of other batches, and of the sample that decides what a column is
MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-", "<na>")
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
# What cp1252 leaves undefined; latin-1 reads every byte.
NOT_CP1252 = (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d")


@dataclass
class Source:
    """A table that can be read again and again.

    read(names): pyarrow Tables with these columns, batch by batch, from the start.
    remarks: for the user, by subject, filled by a full reading.
    roles: what each column is, judged by a sample: text, number, image (encoded), vector (lists of numbers), empty, other.
    """

    title: str
    names: list[str]
    read: Callable[[Sequence[str]], Iterator[pa.Table]]
    remarks: dict[str, str] = field(default_factory=dict)
    comma: bool = False  # 1,5 is a number here
    sample: Any = None
    roles: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        first = next((batch for batch in self.read(self.names) if batch.num_rows), None)
        if first is None:
            below = f" below its header ({listed(self.names)})" if self.names else ""
            raise InputError(f"{self.title} has no rows: wanted at least one{below}")
        self.sample = first.slice(0, ROWS)
        self.roles = {name: role(self.sample[name], self.comma) for name in self.names}

    def of(self, role: str) -> list[str]:
        """The columns that are `role`."""
        return [name for name in self.names if self.roles[name] == role]


def role(values: pa.ChunkedArray, comma: bool) -> str:
    """What a column is, by its type and a sample of its values; strings are numbers when most of them read as such."""
    import pyarrow as pa
    import pyarrow.types as types

    kind = values.type
    if values.null_count == len(values):
        return "empty"
    if types.is_large_string(kind):
        found, wrong = numbers(values, comma)
        right = len(found) - found.null_count
        return "number" if right > wrong else "text" if wrong else "empty"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind):
        return "number"
    if types.is_binary(kind) or types.is_large_binary(kind) or (types.is_struct(kind) and kind.get_field_index("bytes") >= 0):
        first = next((data for data in map(encoded, values) if data), b"")
        return "image" if first.startswith(MAGIC) else "other"
    if isinstance(kind, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
        return "vector" if types.is_floating(kind.value_type) or types.is_integer(kind.value_type) else "other"
    return "other"


def encoded(value: pa.Scalar) -> bytes | None:
    """The bytes of a picture: a binary scalar, or a struct with a field `bytes` as Hugging Face writes them."""
    data = value.as_py()
    return data.get("bytes") if isinstance(data, dict) else data


def numbers(values: pa.ChunkedArray, comma: bool) -> tuple[pa.ChunkedArray, int]:
    """(float64 with nulls for what is missing, how many were neither a number nor a mark of a missing one)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_large_string(values.type):
        return (values.cast(pa.uint8()) if pa.types.is_boolean(values.type) else values).cast(pa.float64(), safe=False), 0
    texts = pc.utf8_trim_whitespace(values)
    texts = pc.replace_substring(texts, ",", ".") if comma else texts
    number = pc.match_substring_regex(texts, NUMBER).fill_null(False)
    missing = pc.or_(pc.is_null(texts), pc.is_in(pc.utf8_lower(texts), pa.array(MISSING, pa.large_string())))
    wrong = pc.sum(pc.invert(pc.or_(number, missing))).as_py() or 0
    return pc.if_else(number, texts, pa.scalar(None, pa.large_string())).cast(pa.float64()), int(wrong)


# -- files ------------------------------------------------------------------------------------------------------------------------------


def open_csv(path: Path, delimiter: str | None = None) -> Source:
    """A .csv or .tsv file: every field a string. Rows of the wrong length are skipped and counted."""
    import pyarrow as pa
    import pyarrow.csv as pc

    codec, errors, remarks = encoding(path)
    with open(path, encoding=codec, errors=errors, newline="") as file:
        start = file.read(1 << 20)
    if not start.strip():
        raise InputError(f"{path.name} is empty: wanted a header and at least one row")
    delimiter = delimiter or max(",;\t|", key=start.lstrip("\r\n").split("\n", 1)[0].count)
    try:
        records = enumerate(csv.reader(io.StringIO(start, newline=""), delimiter=delimiter), 1)
        skip, header = next((number, record) for number, record in records if record)
    except (csv.Error, StopIteration) as error:
        raise InputError(f"{path.name}: the header can't be read ({error}): wanted column names separated by {delimiter!r}") from None
    if all(_is_number(name) for name in header):
        skip, header = 0, [f"column {number}" for number in range(1, len(header) + 1)]
        remarks["header"] = "no header (the first row holds numbers): the columns are called 'column 1', 'column 2', ..."
    names, repeats = unique([name.strip() for name in header])
    if repeats:
        remarks["names"] = f"{count(repeats, 'repeated column name')}: marked (2), (3), ..."

    def read(wanted: Sequence[str]) -> Iterator[pa.Table]:
        skipped: list[Any] = []
        last = ""

        def skip_row(row: Any) -> str:
            skipped.append(row if not skipped else None)
            return "skip"

        reading = pc.ReadOptions(column_names=names, skip_rows_after_names=skip, block_size=BATCH, use_threads=False)
        parsing = pc.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip_row)
        strings = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.large_string()), null_values=[], strings_can_be_null=False)
        with open(path, "rb") as file:
            stream = file if codec.startswith("utf-8") and errors == "strict" else _Transcoded(file, codec, errors)
            try:
                for batch in pc.open_csv(pa.PythonFile(stream, mode="r"), reading, parsing, strings):
                    if batch.num_rows:
                        last = batch.column(len(names) - 1)[-1].as_py()
                        yield pa.Table.from_batches([batch]).select(list(wanted))
            except pa.ArrowInvalid as error:
                raise InputError(f"{path.name} can't be read ({short(error)}): is a quote left open?") from None
        if skipped:
            first = skipped[0]
            remarks["ragged"] = (
                f"{count(len(skipped), 'row')} skipped, the first is row {first.number:,}: "
                f"{count(first.actual_columns, 'field')}, wanted {first.expected_columns}"
            )
        if "\n" in last and _quotes(path, codec) % 2:
            remarks["quote"] = f"a quote is left open: the last row goes on for {last.count(chr(10)) + 1:,} lines, to the end of the file"

    try:
        return Source(path.name, names, read, remarks, comma=delimiter == ";")
    except InputError as error:
        why = f" ({remarks['ragged']}; are fields that hold {delimiter!r} quoted?)" if "ragged" in remarks else ""
        raise InputError(f"{error}{why}") from None


def open_jsonl(path: Path) -> Source:
    """A .jsonl file: one object (or one string) a line. Values become strings as a .csv has them, lists of numbers vectors."""
    import pyarrow as pa

    codec, errors, remarks = encoding(path)
    kinds: dict[str, Any] = {}

    def batches() -> Iterator[list[dict[str, Any]]]:
        rows, wrong = [], []
        with open(path, encoding=codec, errors=errors) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                row = {"text": row} if isinstance(row, str) else row
                if not isinstance(row, dict):
                    wrong.append(number)
                    continue
                rows.append(row)
                if len(rows) == ROWS:
                    yield rows
                    rows = []
        if wrong:
            remarks["lines"] = f"{count(len(wrong), 'line')} not a JSON object: skipped, the first is line {wrong[0]:,}"
        if rows:
            yield rows

    def column(values: list[Any], kind: Any) -> pa.Array:
        if kind is list:
            return pa.array([value if _numeric(value) else None for value in values], pa.list_(pa.float64()))
        return pa.array(
            [
                None if value is None else clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
                for value in values
            ],
            pa.large_string(),
        )

    def read(wanted: Sequence[str]) -> Iterator[pa.Table]:
        for rows in batches():
            new = {name for row in rows for name in row} - kinds.keys()
            if new:
                remarks["keys"] = f"keys that first occur after {ROWS:,} rows are left out: {listed(sorted(new))}"
            yield pa.table({name: column([row.get(name) for row in rows], kinds[name]) for name in wanted})

    for row in next(batches(), []):
        for name, value in row.items():
            if kinds.get(name) is None:
                kinds[name] = None if value is None else list if _numeric(value) else str
    if not kinds:
        why = f" ({remarks['lines']})" if "lines" in remarks else ""
        raise InputError(f'{path.name} has no JSON object: wanted one a line, such as {{"text": "..."}}{why}')
    return Source(path.name, list(kinds), read, remarks)


def open_parquet(path: Path) -> Source:
    """A .parquet file."""
    import pyarrow.parquet as pq

    try:
        names = pq.ParquetFile(path).schema_arrow.names
    except PermissionError:
        raise
    except Exception as error:  # pyarrow raises nearly anything on damaged files
        raise InputError(f"{path.name} is not a readable Parquet file ({short(error)}): fetch or write it again") from None

    def read(wanted: Sequence[str]) -> Iterator[pa.Table]:
        try:
            with pq.ParquetFile(path) as file:
                batches = file.iter_batches(batch_size=1024, columns=list(wanted))
                while (batch := next(batches, None)) is not None:
                    yield normal(batch)
        except InputError:  # of whoever uses the batch
            raise
        except Exception as error:
            raise InputError(f"{path.name} is damaged ({short(error)}): fetch or write it again") from None

    return Source(path.name, list(names), read)


def from_arrow(table: Any, title: str = "the table") -> Source:
    """A pyarrow Table, or anything that gives one through the Arrow interface (a pandas or polars DataFrame)."""
    import pyarrow as pa

    table = table if isinstance(table, pa.Table) else pa.table(table)
    return Source(title, list(table.column_names), lambda wanted: (normal(batch) for batch in table.select(list(wanted)).to_batches(ROWS)))


def from_texts(texts: Callable[[], Iterable[tuple[str, str]]], title: str, remarks: dict[str, str]) -> Source:
    """(id, text) pairs as a table with the columns id and text."""
    import pyarrow as pa

    def read(wanted: Sequence[str]) -> Iterator[pa.Table]:
        pairs = iter(texts())
        while True:
            some = [pair for _, pair in zip(range(ROWS), pairs, strict=False)]
            if not some:
                return
            ids, lines = zip(*some, strict=True)
            yield pa.table({"id": pa.array(ids, pa.large_string()), "text": pa.array(map(clean, lines), pa.large_string())})

    return Source(title, ["id", "text"], read, remarks)


def lines(path: Path, codec: str, errors: str) -> Iterator[tuple[str, str]]:
    """(row number, line) of a text file."""
    with open(path, encoding=codec, errors=errors) as file:
        for number, line in enumerate(file):
            yield str(number), line.rstrip("\n")


# -- characters -------------------------------------------------------------------------------------------------------------------------


def encoding(path: Path) -> tuple[str, str, dict[str, str]]:
    """(codec, what to do with wrong bytes, remarks): by its byte-order mark, else UTF-8 if it is, else cp1252 or latin-1."""
    with open(path, "rb") as file:
        start = file.read(8192)
        for mark, codec in (
            (codecs.BOM_UTF8, "utf-8-sig"),
            (codecs.BOM_UTF32_LE, "utf-32"),
            (codecs.BOM_UTF32_BE, "utf-32"),
            (codecs.BOM_UTF16_LE, "utf-16"),
            (codecs.BOM_UTF16_BE, "utf-16"),
        ):
            if start.startswith(mark):
                return codec, "replace", {} if codec == "utf-8-sig" else {"encoding": f"{path.name} is {codec.upper()}"}
        if start.count(0) > len(start) / 10:
            raise InputError(f"{path.name} is a binary file, not text: wanted UTF-8 text (for UTF-16, with a byte-order mark)")
        file.seek(0)
        decoder, where = codecs.getincrementaldecoder("utf-8")(), 0
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
                where += len(block)
            decoder.decode(b"", final=True)
            return "utf-8", "strict", {}
        except UnicodeDecodeError:
            file.seek(max(0, where - (1 << 20)))
            around = file.read(3 << 20).decode("utf-8", "replace")
        if around.count("\ufffd") < 0.1 * sum(character > "\x7f" for character in around):
            return "utf-8", "replace", {"encoding": f"{path.name} is UTF-8 with some wrong bytes: replaced by \ufffd"}
        file.seek(0)
        codec = "cp1252"
        while block := file.read(1 << 20):
            if any(byte in block for byte in NOT_CP1252):
                codec = "latin-1"
                break
    return codec, "replace", {"encoding": f"{path.name} is not UTF-8: read as {codec}; check a few accents, or save it as UTF-8"}


def clean(text: str) -> str:
    """The text with lone surrogates replaced: they can't be stored as UTF-8."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def normal(batch: Any) -> pa.Table:
    """The batch with all strings as valid large_string, so that one code path serves every file."""
    import pyarrow as pa

    columns = {}
    for name in batch.schema.names:
        values = batch.column(name)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if pa.types.is_string(values.type) or pa.types.is_string_view(values.type):
            values = values.cast(pa.large_string())
        if pa.types.is_large_string(values.type):
            try:
                values.validate(full=True)
            except pa.ArrowInvalid:
                raw = values.cast(pa.large_binary()).to_pylist()
                values = pa.array([None if value is None else value.decode("utf-8", "replace") for value in raw], pa.large_string())
        columns[name] = values
    return pa.table(columns)


class _Transcoded(io.RawIOBase):
    """A byte stream of another encoding, as UTF-8."""

    def __init__(self, file: Any, codec: str, errors: str):
        self.file, self.rest = file, b""
        self.decoder = codecs.getincrementaldecoder(codec)(errors)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.rest:
            block = self.file.read(1 << 20)
            self.rest = self.decoder.decode(block, final=not block).encode("utf-8", "replace")
            if not block:
                break
        done = min(len(buffer), len(self.rest))
        buffer[:done], self.rest = self.rest[:done], self.rest[done:]
        return done


def _numeric(values: Any) -> bool:
    return isinstance(values, list) and len(values) > 0 and all(isinstance(value, int | float) for value in values)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _quotes(path: Path, codec: str) -> int:
    with open(path, encoding=codec, errors="replace") as file:
        return sum(block.count('"') for block in iter(lambda: file.read(1 << 20), ""))
