"""Data sets by name. A set in $UNLABELED_DATA is a folder; what its files don't say by themselves stands in the table below."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.data import Items, as_items, read
from unlabeled.data.graphs import Graph
from unlabeled.data.items import GRAPHS, RowNumbers, listed
from unlabeled.data.sources import from_arrow
from unlabeled.data.storage import disk_errors
from unlabeled.data.tables import read_table
from unlabeled.datasets.docstrings import docstrings
from unlabeled.datasets.python_facts import python_facts, python_imports
from unlabeled.errors import InputError

VARIABLE = "UNLABELED_DATA"
HOW = f"set {VARIABLE} to the folder that holds the sets, each in a folder of its own"
PARTS = {"t10k": "test", "validation": "val", "valid": "val", "testing": "test", "training": "train"}
ORDER = ("train", "val", "dev", "test")
DATA = r"\.(parquet|npz|npy|csv|tsv|jsonl)$|images?[-.]idx\d-ubyte(\.gz)?$"
# Sound, film, pages and pairs of words: their files can be read, but not as what they are.
OTHER_KINDS = ("esc10", "fsdd", "video_clips", "html_articles", "html_trafilatura", "webnlg", "word_analogies", "word_similarity")
BUILT: dict[str, Callable[[], Items]] = {"docstrings": docstrings, "python_imports": python_imports, "python_facts": python_facts}
LABELS = ("label", "labels", "y", "target", "class")
FASHION = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"


@dataclass(frozen=True)
class Set:
    """How to read a set; everything has a default that suits a folder with one table, or with a train and a test one.

    files: {part: file}. column: what to learn from. label: the column with the labels. classes: the names of labels 0, 1, ...
    where: (column, value) that the rows must have. folder: where the files are, by default the set's own name. unpack: array -> items.
    url: where the files come from; sha256: of each file.
    """

    files: dict[str, str] = field(default_factory=dict)
    column: str | None = None
    label: str | None = None
    classes: str = ""
    where: tuple[str, str] | None = None
    folder: str | None = None
    kind: str | None = None
    unpack: Callable[[np.ndarray], np.ndarray] | None = None
    url: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)


def _strokes(packed: np.ndarray) -> np.ndarray:
    """28x28 pictures of one bit a pixel, packed in 98 bytes, as dark ink on white."""
    return 255 - np.unpackbits(packed, axis=1)[:, :784].reshape(-1, 28, 28) * np.uint8(255)


SETS = {
    "cifar10": Set(classes="airplane automobile bird cat deer dog frog horse ship truck"),
    "fashion_mnist": Set(
        classes="T-shirt Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle-boot",
        url=FASHION,
        sha256={
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    "omniglot": Set(column="images", label="character", unpack=_strokes),
    "emoji": Set(column="png_google", label="group"),
    "ieat": Set({"all": "images.parquet"}, label="category"),
    "stackoverflow_titles": Set(column="text"),
    "ag_news_test": Set(column="title,text", classes="World Sports Business Sci/Tech"),
    "newsgroups20": Set(column="subject,text"),
    "ohsumed_abstracts": Set(column="title,abstract"),
    "sentences": Set(column="text"),
    **{
        f"sentences/{task}": Set(column="text", where=("task", task), folder="sentences")
        for task in ("mr", "subj", "cr", "mpqa", "sst2", "sst5")
    },
    "public_books": Set(column="text", label="author"),
    "english_text": Set(column="text", label="source"),
    "tabular_features": Set({"all": "isolet.npz"}, column="x"),
    **{
        f"tabular_features/{name}": Set({"all": f"{name}.npz"}, column="x", folder="tabular_features")
        for name in ("isolet", "madelon", "colon", "leukemia", "lymphoma", "nci9", "pcmac", "relathe", "basehock")
    },
    "movielens_100k": Set({"all": "items.parquet"}, column="title"),
    "crisis_tweets": Set({"all": "t26.parquet"}, column="text", label="event"),
    "reviews_domains": Set({"all": "reviews.parquet"}, column="text"),
    "text_graphs": Set({"all": "cora_papers.parquet"}, column="text"),
    "urls": Set(column="url"),
    "urls_multiclass": Set(column="url"),
    "cisi": Set({"all": "docs.parquet"}, column="title,text"),
    "cranfield": Set({"all": "docs.parquet"}, column="title,text"),
    "npl_vaswani": Set({"all": "docs.parquet"}, column="text"),
    "wordnet_nouns": Set({"all": "synsets.parquet"}, column="definition", label="lexfile"),
}


def names() -> list[str]:
    """The sets that `load` can give here: built in, in $UNLABELED_DATA, or fetched when first asked for."""
    there = _folders()
    known = {name for name, entry in SETS.items() if (entry.folder or name) in there or entry.url}
    return sorted(
        {"digits", *BUILT}
        | known
        | {name for name, folder in there.items() if name not in SETS and name not in OTHER_KINDS and _files(folder)}
    )


def load(name: str, split: str | None = None, n: int | None = None) -> Items:
    """The set as Items: labels, where there are, in columns['label'], their names in columns['class'], the part in columns['split'].

    split: only this part ("train", "test", ...). n: only so many, a fixed random sample in the order of the file.
    Raises InputError for a set or a part that isn't there.
    """
    if n is not None and n < 1:
        raise InputError(f"n is {n}: wanted 1 or more")
    if name == "digits":
        items = _digits()
    elif name in BUILT:
        items = BUILT[name]()
    else:
        items = _load(name, split, n)
    parts = items.columns.get("split")
    if split is not None:
        if parts is None or split not in parts:
            raise _no_part(name, split, () if parts is None else parts)
        items = items.subset(np.array([part == split for part in parts]))
    if n is not None and n < len(items):
        items = items.subset(_sample(len(items), n))
    items.source = name
    return items


def export(name: str, folder: str | os.PathLike, split: str | None = None, n: int | None = None) -> Path:
    """Write a set as a user would have it: pictures as PNG files in `folder`, edges and facts as `folder`/<name>.tsv, else
    `folder`/<name>.parquet; returns what to learn from.

    Labels go beside, to `folder`-labels.csv (id, label), never among the data.
    """
    items, where = load(name, split, n), Path(folder)
    with disk_errors(where):
        where.mkdir(parents=True, exist_ok=True)
        ids = list(items.ids)
        if items.kind == "image":
            from PIL import Image

            digits = max(4, len(str(len(items) - 1)))
            ids = [f"{row:0{digits}d}.png" for row in range(len(items))]
            for row, name_ in enumerate(ids):
                picture = items.take([row])[0]
                Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(where / name_)
            written = where
        elif items.kind in GRAPHS:
            written = where / f"{name.replace('/', '-')}.tsv"
            written.write_text("".join("\t".join(row) + "\n" for row in _joins(items)), encoding="utf-8")
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            columns: dict[str, Any] = {"id": ids}
            if items.kind == "text":
                columns["text"] = items.values
            else:
                fields = items.fields or [f"x{number}" for number in range(items.values.shape[1])]
                columns |= dict(zip(fields, np.asarray(items.values).T, strict=True))
            columns |= {key: values for key, values in items.columns.items() if key not in ("label", "class", "split", *columns)}
            written = where / f"{name.replace('/', '-')}.parquet"
            pq.write_table(pa.table(columns), written)
        if "label" in items.columns:
            import pyarrow as pa
            import pyarrow.csv as pc

            labels = pa.table({"id": ids, "label": items.columns.get("class", items.columns["label"])})
            pc.write_csv(labels, where.parent / f"{where.name}-labels.csv")
    return written


def _joins(items: Items) -> Iterator[tuple[str, ...]]:
    """The lines of a file of edges, or of facts."""
    values = items.values
    if items.kind == "triples":
        for head, relation, tail in values.facts.tolist():
            yield values.entities[head], values.relations[relation], values.entities[tail]
        return
    if not isinstance(values, Graph):
        raise InputError(f"a {type(values).__name__} can't be written as a list of edges: export a graph")
    for a, b in values.edges().tolist():
        yield items.ids[a], items.ids[b]


def fetch(url: str, sha256: str, to: Path) -> Path:
    """The file at `url`, as `to`, written only when its SHA-256 is right; not fetched again when it is there."""
    to = Path(to)
    if to.is_file() and hashlib.sha256(to.read_bytes()).hexdigest() == sha256:
        return to
    with disk_errors(to.parent):
        to.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=to.parent, prefix=to.name)
    try:
        seen = hashlib.sha256()
        with os.fdopen(handle, "wb") as out, disk_errors(to.parent), urllib.request.urlopen(url, timeout=30) as answer:
            while block := answer.read(1 << 20):
                seen.update(block)
                out.write(block)
        if seen.hexdigest() != sha256:
            raise InputError(
                f"{url} is not the file it should be (SHA-256 {seen.hexdigest()[:12]}..., wanted {sha256[:12]}...): "
                "it was not kept; try again later"
            )
        os.replace(part, to)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise InputError(f"{url} can't be fetched ({getattr(error, 'reason', error)}): check the network, or {HOW}") from None
    finally:
        Path(part).unlink(missing_ok=True)
    return to


# -- reading ----------------------------------------------------------------------------------------------------------------------------


def _digits() -> Items:
    """8x8 handwritten digits, 1,797 of them (Alpaydin and Kaynak 1998, UCI), as scikit-learn carries them."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pictures = (bunch.images * (255 / 16)).round().astype(np.uint8)[..., None]
    return Items("image", pictures, columns={"label": bunch.target.astype(np.int64)})


def _no_part(name: str, split: str, parts: Iterable[str]) -> InputError:
    there = listed(sorted(set(parts)))
    return InputError(f"data set {name!r} has no part {split!r}: " + (f"it has {there}" if there else "it isn't split: leave split out"))


def _sample(total: int, n: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(total)[:n])


def _load(name: str, split: str | None, n: int | None) -> Items:
    entry = SETS.get(name, Set())
    folder = _folders().get(entry.folder or name)
    if folder is None:
        if not entry.url:
            raise InputError(f"no data set {name!r}: there are {listed(names(), 60)}; for others {HOW}")
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unlabeled" / name
        for file, sha256 in entry.sha256.items():
            fetch(entry.url + file, sha256, folder / file)
    files = {part: folder / file for part, file in entry.files.items()} or _files(folder)
    if not files:
        raise InputError(f"data set {name!r}: nothing in {folder.name!r} that can be read as pictures, texts or numbers")
    if split is not None and split not in files and "all" not in files:
        raise _no_part(name, split, files)
    wanted = {split: files[split]} if split in files else files
    rows = _rows(wanted, n) if entry.where is None and (split is None or split in files) else {}
    parts = [_labelled(part, items, entry) for at, path in wanted.items() for part, items in _read(path, at, entry, rows.get(at))]
    items = parts[0] if len(parts) == 1 else _joined(parts)
    if entry.where:
        column, value = entry.where
        items = items.subset(np.array([found == value for found in items.columns[column]]))
    return items


def _folders() -> dict[str, Path]:
    root = os.environ.get(VARIABLE)
    if not root:
        return {}
    if not Path(root).is_dir():
        raise InputError(f"{VARIABLE} is {root!r}, which is no folder: {HOW}")
    return {path.name: path for path in sorted(Path(root).iterdir()) if path.is_dir() and not path.name.startswith(".")}


def _files(folder: Path) -> dict[str, Path]:
    """{part: file} of a folder with one file of data, or one for each of train, test, ...; {} when it has none or too many."""
    found = [path for path in sorted(folder.iterdir()) if re.search(DATA, path.name)]
    parts = {PARTS.get(part, part): path for path in found if (part := re.split(r"[-_.]", path.name)[0].lower()) in (*PARTS, *ORDER)}
    if len(found) == 1:
        return {"all": found[0]}
    if found:
        return {part: parts[part] for part in ORDER if part in parts} if len(parts) == len(found) else {}
    return {"all": folder} if any(folder.glob("*.png")) or any(folder.glob("*/*.png")) or any(folder.glob("*/*.jp*g")) else {}


def _rows(files: dict[str, Path], n: int | None) -> dict[str, np.ndarray]:
    """{part: the rows of its file} of a sample of n, where files can tell their length: of 60,000 pictures only 5,000 are decoded."""
    if n is None or any(path.suffix != ".parquet" for path in files.values()):
        return {}
    import pyarrow.parquet as pq

    ends = np.cumsum([pq.read_metadata(path).num_rows for path in files.values()])
    if n >= ends[-1]:
        return {}
    sample = _sample(ends[-1], n)
    parts = np.split(sample, np.searchsorted(sample, ends[:-1]))
    return {part: rows - start for part, rows, start in zip(files, parts, [0, *ends[:-1]], strict=True)}


def _read(path: Path, part: str, entry: Set, rows: np.ndarray | None) -> list[tuple[str, Items]]:
    """The parts in one file, or only these rows of a .parquet file."""
    if rows is not None and len(rows) == 0:
        return []
    if rows is not None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(path).take(pa.array(rows))
        items = read_table(from_arrow(table, path.name), kind=entry.kind, column=entry.column)
        items.ids = RowNumbers(rows[np.array([int(name) for name in items.ids])]) if isinstance(items.ids, RowNumbers) else items.ids
        return [(part, items)]
    if "idx" in path.name:
        labels = path.with_name(path.name.replace("images", "labels").replace("image", "label").replace("idx3", "idx1"))
        items = as_items(_idx(path))
        items.columns = {"label": _idx(labels).astype(np.int64)} if labels.is_file() else {}
        return [(part, items)]
    if path.suffix != ".npz":
        return [(part, read(path, kind=entry.kind, column=entry.column))]
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    found = []
    for name in [entry.column] if entry.column else [name for name in arrays if re.fullmatch(r"(x|data|images?)(_\w+)?", name.lower())]:
        values = arrays[name]
        inside = name.split("_", 1)[1] if "_" in name and not entry.column else part
        items = as_items(entry.unpack(values) if entry.unpack else values, kind=entry.kind)
        tail = name[len(name.split("_", 1)[0]) :] if not entry.column else ""
        items.columns = {
            key.removesuffix(tail) if tail else key: array
            for key, array in arrays.items()
            if key != name and array.shape == (len(items),) and key.endswith(tail)
        }
        found.append((inside, items))
    return found or [(part, read(path, kind=entry.kind))]


def _idx(path: Path) -> np.ndarray:
    """An array in the IDX format of MNIST: a magic number whose last byte is the number of dimensions, the dimensions, the bytes."""
    data = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
    shape = np.frombuffer(data, ">i4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def _labelled(part: str, items: Items, entry: Set) -> Items:
    """The labels as columns['label'], their names as columns['class'], the part as columns['split'] and before the row number."""
    columns = items.columns
    source = entry.label or next((name for name in LABELS if name in columns), None)
    if source is not None and source in columns:
        label = columns[source] if entry.label else columns.pop(source)
        names_ = entry.classes.split()
        if names_:
            columns["class"] = [names_[int(number)] for number in label]
        columns["label"] = label
    if part != "all":
        columns.setdefault("split", [part] * len(items))
        items.ids = [f"{part}/{name}" for name in items.ids]
    return items


def _joined(parts: Sequence[Items]) -> Items:
    """The parts one after the other, with the columns that all have."""
    first = parts[0]
    shapes = {part.values.shape[1:] for part in parts} if first.kind != "text" else set()
    if len({part.kind for part in parts}) > 1 or len(shapes) > 1:
        raise InputError(f"the parts differ ({listed(part.describe() for part in parts)}): load one with split")
    texts = first.kind == "text"
    values = [text for part in parts for text in part.take(slice(None))] if texts else np.concatenate([part.values for part in parts])
    columns = {
        name: np.concatenate([part.columns[name] for part in parts])
        if isinstance(first.columns[name], np.ndarray)
        else [value for part in parts for value in part.columns[name]]
        for name in first.columns
        if all(name in part.columns for part in parts)
    }
    return Items(
        first.kind,
        values,
        [name for part in parts for name in part.ids],
        columns,
        [pair for part in parts for pair in part.unreadable],
        fields=first.fields,
        notes=list(dict.fromkeys(note for part in parts for note in part.notes)),
    )
