"""The estimator that every trained system is, and the one training loop.

A system is a dataclass with `build` (its modules) and `loss` (its objective). Everything else, data, views, devices,
precision, schedules, checkpoints, saving and embedding, is here and the same for all.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from unlabeled.data import Items, as_items
from unlabeled.data.in_memory_graphs import is_graph
from unlabeled.data.items import GRAPHS
from unlabeled.encoders import Inputs, load_architecture, save_architecture
from unlabeled.encoders import encoder as make_encoder
from unlabeled.errors import InputError
from unlabeled.parts.gather import rank, world
from unlabeled.parts.norm import share_statistics
from unlabeled.parts.schedules import warmup_cosine
from unlabeled.parts.whiten import Whitening
from unlabeled.saving import described, plain, read_config, restored, write_json, write_tensors
from unlabeled.views import views_for
from unlabeled.views.images import to_batch

CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_SECONDS = float(os.environ.get("UNLABELED_CHECKPOINT_SECONDS", "20"))  # at least so long between two
EMBED_ROWS = 512
# Systems whose steps, cut into parts, would be other steps than one process's.
ALONE = {"JULE": "it would draw other triplets in each", "ClusterNS": "what counts as a false negative is a share of the whole batch"}
EMBED_TOKENS = 2048  # of texts in a transformer: a batch whose activations a CPU's cache holds, long texts or short ones


class Net(nn.Module):
    """A system's modules by name: Net(encode=..., project=...).encode."""

    def __init__(self, **modules: nn.Module):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Batch:
    """What `loss` gets: `views`, a list of tensors, and `index`, int64 [n], which examples they are of.

    Views may say more about themselves: a callable that returns (views, {"boxes": ...}) puts `boxes` here. Other attributes
    may be set by `loss` for `after_step` of the same step (keys for a queue, say).
    """

    def __init__(self, views: list[Any], index: Tensor, **more: Any):
        self.views, self.index = views, index
        self.__dict__.update(more)

    if TYPE_CHECKING:  # anything may be put here

        def __setattr__(self, name: str, value: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this batch carries no {name}: loss has to set it before after_step reads it")


@dataclass
class Progress:
    """What a watcher of `fit` is told, a few times a second at most and after every epoch."""

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    rate: float  # examples a second
    seconds_left: float
    end_of_epoch: bool
    embed: Callable[[int], np.ndarray]  # the first m examples as the loss sees them now: projected, where there is a projector


@dataclass(kw_only=True, eq=False)
class Learner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Parameters that every trained system has. All are keyword arguments; `get_params` and `clone` know them.

    fit takes images (uint8 [n, H, W, 3 or 1], [n, H, W] or float in [0, 1]), texts (a list of str), vectors (float
    [n, d]) or `Items`; transform gives float32 [n, width]. Bad input raises ValueError.
    """

    encoder: str | nn.Module = "auto"  # a name, a Hugging Face folder or id, or a module; see unlabeled.encoders
    views: Any = None  # ImageViews, TextViews or VectorViews, or any callable (batch, generator) -> list of tensors, or (list, dict)
    epochs: int | None = None  # default: as many as show about `examples` examples, at most 200
    examples: int = 150_000
    batch_size: int = 256
    optimizer: str = "adamw"  # or "sgd" (Nesterov momentum 0.9)
    lr: float = 2e-3  # at its peak
    weight_decay: float = 1e-4
    warmup: float = 0.1  # share of the steps in which the learning rate rises; then it falls along a cosine
    clip: float | None = None  # largest norm of the gradient
    whiten: float | None = None  # how far vectors are whitened, 0 not at all, 1 fully (parts.whiten); default: what suits the encoder
    whiten_dim: int | None = None  # principal axes kept when whitening; default: what suits the encoder
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"  # of training: "32-true", "bf16-mixed", ...; auto: bf16 where the hardware has it
    embed_precision: str = "32-true"  # of transform; "bf16-mixed": twice as fast where the hardware has it, to three digits
    compile: bool = False

    # What a system writes -----------------------------------------------------------------------------------------
    def build(self, encoder: nn.Module) -> Net:
        """The modules of the system; `encoder.width` is the length of its output.

        Known by then: `self.inputs_` (the data's kind and size), `self.n_items_` (how many examples, for a memory bank) and
        `self.steps_` (how many steps the training will take, for schedules).
        """
        raise NotImplementedError(f"{type(self).__name__} has no build")

    def loss(self, net: Net, batch: Batch) -> Any:
        """A scalar, a dict of named terms that are added up, or a dict of functions, one for each optimizer's turn."""
        raise NotImplementedError(f"{type(self).__name__} has no loss")

    def network(self, inputs: Inputs) -> nn.Module:
        """The encoder that a graph gets when the user gives none of his own: by name, or as large as the system's fields say."""
        from unlabeled.encoders.graphs import graph_encoder

        return graph_encoder("gcn" if self.encoder == "auto" else str(self.encoder), inputs)

    def embed(self, net: Net, x: Tensor) -> Tensor:
        """Vectors of a batch without views: [n, width]. Some encoders keep more of an item than what they are trained on."""
        return net.encode.embedding(x) if hasattr(net.encode, "embedding") else net.encode(x)

    def default_views(self, kind: str) -> Any:
        """The views that this system gets of data of that kind when the user names none."""
        return views_for(kind)

    def before_epoch(self, net: Net, data: Source) -> None:
        """Called before each epoch: re-clustering, mining. What has to outlive the run (labels, centres) belongs in buffers of the net."""

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        """Which examples an epoch shows, int64 [n], cut into batches as it is: by default each once, shuffled."""
        return torch.randperm(n, generator=generator)

    def after_step(self, net: Net, batch: Batch) -> None:
        """Called after each optimizer step: teachers, queues."""

    def optimizers(self, net: Net) -> dict[str, torch.optim.Optimizer]:
        """By default one, over all parameters."""
        return {"loss": self.optimizer_over(net)}

    # What a user calls --------------------------------------------------------------------------------------------
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        watch: Callable[[Progress], None] | None = None,
    ) -> Self:
        """Learn from unlabelled data; `y` is never looked at.

        checkpoint: folder that gets `checkpoint.safetensors` now and then, and at Ctrl-C. resume: go on from there.
        watch: called with a `Progress`. Learned state: `net_`, `inputs_`, `loss_curve_` (mean loss of each epoch).
        """
        items = self._items(X, reset=True)
        self._check(items)
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())), _without_denormals():
            net = self._new_net(items)
            training = _Training(self, net, items, Path(checkpoint) if checkpoint else None)
            if resume:
                training.restore()
            training.meet()
            self.loss_curve_ = training.run(watch)
            _gather_parameters(net)
        self.net_ = net.cpu().eval()
        self._finish(items)
        return self

    def transform(self, X: Any, out: np.ndarray | None = None, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Vectors, float32 [n, width]. out: an array (a memory map, say) to write them to. progress: called with (done, n)."""
        check_is_fitted(self, "net_")
        return self._embed(self._items(X, reset=False), self.whitening_, out, progress)

    def save(self, folder: str | Path, **more: Any) -> Path:
        """Write config.json and model.safetensors (and a tokenizer, where there is one) to a folder. No pickle.

        more: further entries of config.json.
        """
        check_is_fitted(self, "net_")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"net/{name}": value for name, value in self.net_.state_dict().items()}
        if self.whitening_ is not None:
            tensors |= {f"whitening/{k}": torch.from_numpy(v) for k, v in self.whitening_.arrays().items()}
        write_tensors(folder / "model.safetensors", tensors)
        save_architecture(self.net_.encode, folder)
        write_json(folder / "config.json", self.description() | more)
        return folder

    def save_sentence_transformer(self, folder: str | Path) -> Path:
        """Write the encoder as a folder that `SentenceTransformer(folder)` opens and gives the same vectors with.

        InputError: it is no transformer of texts, its vectors are whitened, or the folder isn't empty.
        """
        from unlabeled.encoders.sentence_transformer import write_folder

        check_is_fitted(self, "net_")
        if self.whitening_ is not None:
            raise InputError(f"this {type(self).__name__} whitens its vectors, a SentenceTransformer can't: fit it with whiten=0")
        return write_folder(self.net_.encode, folder)

    def description(self) -> dict[str, Any]:
        """Class, parameters and inputs: what config.json says of the model."""
        return described(self) | {
            "n_items": self.n_items_,
            "steps": self.steps_,
            "encoder": getattr(self.net_.encode, "spec", None),
            "width": self._n_features_out,
            "loss_curve": self.loss_curve_,
        }

    @classmethod
    def load(cls, folder: str | Path, *, encoder: nn.Module | None = None) -> Self:
        """Open what `save` wrote. encoder: an untrained copy of the module, where it was one of the user's own."""
        config = read_config(folder)
        if config.get("class") != f"{cls.__module__}.{cls.__qualname__}":
            raise InputError(f"{folder} holds a {config.get('class', 'thing')}, not a {cls.__name__}: see unlabeled.load_model")
        # A system within another is told by its class alone (methods/inner.py).
        said = {k: {a: b for a, b in v.items() if a != "module"} if isinstance(v, dict) else v for k, v in config["parameters"].items()}
        learner = cls(**said | {"views": restored(config["parameters"]["views"])})
        learner.inputs_ = Inputs(**config["inputs"])
        learner.n_items_, learner.steps_ = config.get("n_items", 0), config.get("steps", 0)
        if learner.inputs_.features:
            learner.n_features_in_ = learner.inputs_.features
        if encoder is None:
            if config["encoder"] is None and (learner.inputs_.kind not in GRAPHS or not isinstance(learner.encoder, str)):
                raise InputError(f"{folder} was learned with an encoder of your own: pass an untrained copy, load(folder, encoder=...)")
            graph = learner.inputs_.kind in GRAPHS
            encoder = learner.network(learner.inputs_) if graph else load_architecture(config["encoder"], Path(folder))
        else:
            learner.encoder = encoder = make_encoder(encoder, learner.inputs_)
        from safetensors.torch import load_file

        tensors = load_file(Path(folder) / "model.safetensors")
        learner.net_ = learner._laid_out(learner.build(encoder))
        learner.net_.load_state_dict({k.removeprefix("net/"): v for k, v in tensors.items() if k.startswith("net/")})
        learner.net_.eval()
        arrays = {k.removeprefix("whitening/"): v.numpy() for k, v in tensors.items() if k.startswith("whitening/")}
        learner.whitening_ = Whitening.from_arrays(arrays) if arrays else None
        learner.loss_curve_ = config["loss_curve"]
        learner._set_width(config["width"])
        return learner

    def untrained(self, X: Any) -> Self:
        """The same network with its first weights: the random-encoder baseline, embedded and whitened like the rest."""
        items = self._items(X, reset=True)
        with torch.random.fork_rng(devices=[]):
            self.net_ = self._new_net(items)
        self._warm_statistics(items)
        self.net_.eval()
        self.loss_curve_ = []
        self._finish(items)
        return self

    # Within -------------------------------------------------------------------------------------------------------
    def optimizer_over(self, *modules: nn.Module, constant: tuple[nn.Module, ...] = ()) -> torch.optim.Optimizer:
        """The chosen optimizer over some modules; those in `constant` keep their learning rate instead of decaying."""
        groups = []
        for fixed, members in ((False, modules), (True, constant)):
            params = [p for module in members for p in module.parameters() if p.requires_grad]
            flat, matrix = [p for p in params if p.ndim < 2], [p for p in params if p.ndim >= 2]
            # Biases and norms are not decayed, as is usual today; SimSiam's and others' papers decay them too.
            for part, decay in ((matrix, self.weight_decay), (flat, 0.0)):
                if part:
                    groups.append({"params": part, "weight_decay": decay, "constant": fixed})
        if not groups:
            raise InputError(f"{type(self).__name__} has nothing to train: every parameter is frozen")
        if self.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=self.lr, betas=(0.9, 0.98), fused=True)
        if self.optimizer == "sgd":
            # Not fused: that kernel (PyTorch 2.13) stops where a module gets its first gradient later than the others do.
            return torch.optim.SGD(groups, lr=self.lr, momentum=0.9, nesterov=True)
        raise InputError(f'optimizer must be "adamw" or "sgd", got {self.optimizer!r}')

    def embed_all(self, net: Net, data: Source) -> np.ndarray:
        """Vectors of all examples while training (for `before_epoch`): float32 [n, width], not whitened."""
        with _eval(net):
            return _embed(lambda x: self.embed(net, x), data)

    def _items(self, X: Any, *, reset: bool) -> Items:
        """X as items; reset in fit, and in transform the items are held against what was fitted."""
        array = X if isinstance(X, np.ndarray) else None
        special = isinstance(X, Items | str | Path) or (array is not None and array.ndim in (3, 4)) or is_graph(X)
        if not special and isinstance(X, list) and X and (isinstance(X[0], str) or hasattr(X[0], "getexif")):
            special = True
        if special:
            items = as_items(X)
            if items.kind in ("vector", "table"):
                _validate_vectors(self, items.values, reset)
        else:
            values = validate_data(self, X, reset=reset, dtype=np.float32, ensure_min_samples=2 if reset else 1)
            items = Items(kind="vector", values=values, ids=[str(i) for i in range(len(values))])
        if not reset and family(items.kind) != family(self.inputs_.kind):
            raise InputError(f"this {type(self).__name__} was fitted on {self.inputs_.kind}s, it can't read {items.kind}s")
        if items.kind == "triples":
            raise InputError(
                f"{type(self).__name__} reads graphs, these are facts: give their .graph(), or use a method of knowledge graphs"
            )
        return items

    def _check(self, items: Items) -> None:
        if len(items) < 2:
            raise InputError(f"{len(items)} item: learning needs at least 2; to keep an encoder as it is use method none")
        for name, low in (("batch_size", 2), ("examples", 1)):
            if not isinstance(getattr(self, name), int | np.integer) or getattr(self, name) < low:
                raise InputError(f"{name} must be an integer of at least {low}, got {getattr(self, name)!r}")
        if self.epochs is not None and self.epochs < 0:
            raise InputError(f"epochs must not be negative, got {self.epochs!r}")
        for name in ("lr", "weight_decay", "warmup", "whiten"):
            if getattr(self, name) is not None and not np.isfinite(getattr(self, name)) or (getattr(self, name) or 0) < 0:
                raise InputError(f"{name} must be a finite number that is not negative, got {getattr(self, name)!r}")

    def _new_net(self, items: Items) -> Net:
        torch.manual_seed(self.seed)
        self.inputs_ = inputs_of(items)
        self.n_items_, self.steps_ = len(items), plan(self, len(items)).steps
        encode = (
            self.network(self.inputs_)
            if items.kind in GRAPHS and isinstance(self.encoder, str)
            else make_encoder(self.encoder, self.inputs_)
        )
        prepare(encode, items)
        return self._laid_out(self.build(encode))

    def _laid_out(self, net: Net) -> Net:
        """Convolutions run fastest with channels last."""
        return net.to(memory_format=torch.channels_last) if self.inputs_.kind == "image" else net

    def _warm_statistics(self, items: Items) -> None:
        """Batch-norm statistics of an untrained net, from a few batches: an honest baseline knows the data's scale."""
        if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.net_.modules()):
            return
        with torch.no_grad():
            self.net_.train()
            source = Source(items, self.net_.encode, self.inputs_)
            for index in np.array_split(np.arange(min(len(items), 1024)), max(1, min(len(items), 1024) // 256)):
                if len(index) > 1:
                    for _ in range(4):
                        self.embed(self.net_, source.batch(index))

    def _embed(
        self,
        items: Items,
        whitening: Whitening | None = None,
        out: np.ndarray | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        device = _device(self.device)
        net = self.net_ if device.type == "cpu" else self.net_.to(device)  # it lies on the CPU; to look for that takes ms, a query's time
        if self.embed_precision not in ("32-true", "bf16-mixed"):
            raise InputError(f'embed_precision must be "32-true" or "bf16-mixed", got {self.embed_precision!r}')
        half = self.embed_precision == "bf16-mixed"

        def vectors(x: Tensor) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                return self.embed(net, x)

        try:
            return _embed(vectors, Source(items, net.encode, self.inputs_, device), whitening, out, progress)
        finally:
            if device.type != "cpu":
                net.cpu()

    def _finish(self, items: Items) -> None:
        """Measure what the vectors need after the network: their mean and principal axes, on at most 10,000 examples."""
        self.whitening_ = None
        sample = items if len(items) <= 10_000 else items.subset(np.linspace(0, len(items) - 1, 10_000).astype(np.int64))
        power = getattr(self.net_.encode, "whiten", 0.0) if self.whiten is None else self.whiten
        if power:
            most = self.whiten_dim or getattr(self.net_.encode, "whiten_dim", None)
            self.whitening_ = Whitening.fit(self._embed(sample), power, most)
        self._set_width(self._embed(items).shape[1] if items.kind in GRAPHS and self.whitening_ is None else None)

    def _set_width(self, width: int | None = None) -> None:
        if self.whitening_ is not None:
            self._n_features_out = self.whitening_.width
        elif self.inputs_.kind in GRAPHS and width is not None:  # no example of a graph suits every network
            self._n_features_out = width
        else:
            with _eval(self.net_):
                self._n_features_out = int(self.embed(self.net_, self.inputs_.example()).shape[1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class Source:
    """Items as tensors for a network: texts tokenized once, pictures brought to the channels and size it was fitted on."""

    def __init__(self, items: Items, encode: Any, inputs: Inputs, device: torch.device | str = "cpu"):
        self.items, self.inputs, self.device = items, inputs, torch.device(device)
        self.rows = len(items) if items.kind in GRAPHS else getattr(encode, "rows", EMBED_ROWS)  # embedded at once
        if items.kind in GRAPHS:
            from unlabeled.views.graphs import GraphView

            self.graph = GraphView.of(items.values, self.device)
        if items.kind == "text":
            if not hasattr(encode, "tokenize"):
                raise InputError('an encoder for texts needs a method tokenize(texts) -> lists of ids from 1 on (see "ngrams")')
            rows = encode.tokenize(list(items.values))
            self.lengths = np.array([max(1, len(row)) for row in rows], dtype=np.int64)
            self.starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
            self.tokens = np.fromiter((token for row in rows for token in row), dtype=np.int64, count=int(self.starts[-1]))

    def __len__(self) -> int:
        return len(self.items)

    def take(self, index: np.ndarray) -> Tensor:
        """Rows for views: uint8 [n, H, W, C], int64 [n, length] or float32 [n, d]; of a graph all of it, a GraphView."""
        if self.items.kind in GRAPHS:
            return self.graph  # type: ignore[return-value]
        if self.items.kind == "text":
            ids = np.zeros((len(index), int(self.lengths[index].max())), dtype=np.int64)
            for row, i in enumerate(index):
                words = self.tokens[self.starts[i] : self.starts[i + 1]]
                ids[row, : len(words)] = words
            return torch.from_numpy(ids).to(self.device)
        rows = np.ascontiguousarray(self.items.take(index))
        if self.items.kind == "image":
            return self._fitted(torch.from_numpy(rows).to(self.device))
        return torch.from_numpy(rows.astype(np.float32, copy=False)).to(self.device)

    def batch(self, index: np.ndarray) -> Tensor:
        """Rows for an encoder: pictures as float32 [n, C, H, W] in [0, 1], the others as from `take`."""
        rows = self.take(index)
        return to_batch(rows) if self.items.kind == "image" else rows

    def order(self) -> np.ndarray:
        """An order in which to embed: texts by length, so that a batch carries little padding."""
        return np.argsort(self.lengths, kind="stable") if self.items.kind == "text" else np.arange(len(self))

    def parts(self) -> Iterator[np.ndarray]:
        """Which items to embed at once, in that order; for a transformer as many short texts or as few long ones as suit it."""
        order = self.order()
        if self.items.kind != "text" or self.rows >= EMBED_ROWS:
            yield from batches(order, self.rows)
            return
        start = 0
        while start < len(order):
            # The longest text of the batch says how much room each takes; they come in order of length.
            room = self.lengths[order[start : start + EMBED_ROWS]] * np.arange(1, min(EMBED_ROWS, len(order) - start) + 1)
            stop = start + max(1, int(np.searchsorted(room, EMBED_TOKENS, side="right")))
            yield order[start:stop]
            start = stop

    def _fitted(self, rows: Tensor) -> Tensor:
        rows = rows[..., None] if rows.ndim == 3 else rows
        if rows.shape[-1] != self.inputs.channels:
            grey = rows.float().mean(dim=-1, keepdim=True).round().to(torch.uint8)
            rows = rows.expand(*rows.shape[:-1], 3) if rows.shape[-1] == 1 else grey
        if min(rows.shape[1:3]) != self.inputs.size:
            scale = self.inputs.size / min(rows.shape[1:3])
            sides = [max(1, round(side * scale)) for side in rows.shape[1:3]]
            resized = nn.functional.interpolate(to_batch(rows), size=sides, mode="bilinear", antialias=True, align_corners=False)
            rows = (resized * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        return rows


class _Objective(nn.Module):
    """The loss as a module's forward: that is where Fabric applies autocast and gathers gradients."""

    def __init__(self, learner: Learner, net: Net):
        super().__init__()
        self.net = net
        self.learner = [learner]  # in a list: an estimator is no submodule

    def forward(self, batch: Batch, turn: str | None = None) -> Any:
        result = self.learner[0].loss(self.net, batch)
        return result if turn is None else result[turn]()


class _Training:
    """One run of the loop. Every step seeds its own randomness from (seed, step), so a resumed run repeats a whole one."""

    def __init__(self, learner: Learner, net: Net, items: Items, folder: Path | None):
        self.learner, self.net, self.items, self.folder = learner, net, items, folder
        if _processes() > 1 and (items.kind in GRAPHS or type(learner).__name__ in ALONE):
            why = ALONE.get(type(learner).__name__, f"a {items.kind} is learned as a whole")
            raise InputError(f"{type(learner).__name__} learns in one process, here are {_processes()}: {why}; leave out --devices")
        self.fabric = _fabric(learner)
        share_statistics(net)
        self.batch_size, self.steps_per_epoch, self.steps, self.epochs = plan(learner, len(items))
        if self.batch_size % world():
            raise InputError(f"a batch of {self.batch_size} examples can't be shared by {world()} processes: choose a multiple")
        if _sharded() and type(learner).before_epoch is not Learner.before_epoch:
            raise InputError(
                f"{type(learner).__name__} looks at all the data before an epoch, which takes the whole model: use strategy ddp"
            )
        objective = _Objective(learner, net)
        self.objective: Any = self.fabric.setup_module(torch.compile(objective) if learner.compile else objective)
        self.optimizers = learner.optimizers(net)  # only now: FSDP has put parts of the parameters in their place
        self.bases = {name: [group["lr"] for group in optimizer.param_groups] for name, optimizer in self.optimizers.items()}
        self.stepping: dict[str, Any] = {name: self.fabric.setup_optimizers(optimizer) for name, optimizer in self.optimizers.items()}
        self.source = Source(items, net.encode, learner.inputs_, self.fabric.device)
        self.views = learner.views if learner.views is not None else learner.default_views(items.kind)
        self.seen: np.ndarray | None = None
        self.step, self.losses = 0, [0.0] * self.epochs  # losses: sums over the steps of each epoch
        self.mark = {"n": len(items), "kind": items.kind, "parameters": {k: plain(v) for k, v in learner.get_params(deep=False).items()}}
        self.mark["data"] = fingerprint(items)

    def meet(self) -> None:
        """InputError unless the processes of a shared training have the same data and stand at the same step."""
        if world() > 1:
            everyone: list[Any] = [None] * world()
            torch.distributed.all_gather_object(everyone, (self.mark["n"], self.mark["data"], self.step))
            if len({(n, data) for n, data, _ in everyone}) > 1:
                raise InputError("the processes read different data: the path must lead to the same files on every machine")
            if len({step for *_, step in everyone}) > 1:
                raise InputError("the processes found different checkpoints: the run's folder must lie on storage that all machines share")

    def run(self, watch: Callable[[Progress], None] | None) -> list[float]:
        self.net.train()
        started, first, saved, told = time.monotonic(), self.step, time.monotonic(), 0.0
        at_epochs_only = type(self.learner).before_epoch is not Learner.before_epoch
        try:
            while self.step < self.steps:
                epoch, within = divmod(self.step, self.steps_per_epoch)
                if within == 0:
                    self.learner.before_epoch(self.net, self.source)
                    self.net.train()
                if within == 0 or self.step == first:
                    order = self._order(epoch)
                loss = self._one(order[within * self.batch_size : (within + 1) * self.batch_size])
                if not np.isfinite(loss):
                    raise InputError(f"the loss became {loss} at step {self.step}: lower lr (now {self.learner.lr}) or set clip=1.0")
                self.losses[epoch] += loss
                self.step += 1
                now, end = time.monotonic(), within == self.steps_per_epoch - 1 or self.step == self.steps
                if self.folder and self._agree(now - saved > CHECKPOINT_SECONDS) and (end or not at_epochs_only):
                    self.save()
                    saved = now
                if end and _sharded():
                    self.seen = None
                    self.seen = self._seen_together()
                if watch and (end or now - told > 0.25):
                    told = now
                    rate = (self.step - first) / (now - started)
                    left = (self.steps - self.step) / rate
                    watch(Progress(self.step, self.steps, epoch + 1, self.epochs, loss, rate * self.batch_size, left, end, self._peek))
        except KeyboardInterrupt:
            if self.folder and not at_epochs_only and not _sharded():  # alone no process has it all
                self.save()
            raise
        if self.folder and self.steps:
            self.save()
        counts = np.diff([*range(0, self.steps, self.steps_per_epoch), self.steps])
        return [float(total / count) for total, count in zip(self.losses, counts, strict=True)]

    def _one(self, index: np.ndarray) -> float:
        """One step on the examples `index`."""
        seed = zlib.crc32(f"{self.learner.seed}/{self.step}{f'/{rank()}' if rank() else ''}".encode())
        torch.manual_seed(seed)
        generator = torch.Generator(self.fabric.device).manual_seed(seed)
        index = np.array_split(np.sort(index), world())[rank()]  # sorted: a memory map is read front to back
        views = self.views(self.source.take(index), generator)
        views, more = views if isinstance(views, tuple) else (views, {})
        batch = Batch(views, torch.from_numpy(index).to(self.fabric.device), **more)
        factor = warmup_cosine(self.step, self.steps, int(self.learner.warmup * self.steps))
        total = 0.0
        for number, (name, optimizer) in enumerate(self.stepping.items()):
            for group, base in zip(optimizer.param_groups, self.bases[name], strict=True):
                group["lr"] = base if group.get("constant") else base * factor
            result = self.objective(batch, name if len(self.stepping) > 1 else None)
            if isinstance(result, dict):
                result = sum(term() if callable(term) else term for term in result.values())
            for other in self.stepping.values():
                other.zero_grad()
            self.fabric.backward(result)
            if self.learner.clip:
                self.fabric.clip_gradients(self.objective, optimizer, max_norm=self.learner.clip)
            optimizer.step()
            total += float(result.detach()) if number == 0 or len(self.stepping) > 1 else 0.0
        with torch.no_grad():
            self.learner.after_step(self.net, batch)
        return total if world() == 1 else float(self.fabric.all_reduce(torch.tensor(total), reduce_op="mean"))

    def _agree(self, due: bool) -> bool:
        """What the first process decides, where all have to take part in saving."""
        return self.fabric.broadcast(due) if _sharded() else due  # type: ignore[no-any-return]

    def _order(self, epoch: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(zlib.crc32(f"{self.learner.seed}/epoch/{epoch}".encode()))
        order = np.asarray(self.learner.order(self.net, len(self.items), generator))
        if order.shape != (len(self.items),):
            raise ValueError(f"{type(self.learner).__name__}.order gave {order.shape}, wanted {(len(self.items),)}")
        return order

    def _seen_together(self) -> np.ndarray:
        """What `_peek` gives, where it takes all processes: their parts are put together for it."""
        root = self.objective.module
        root.unshard()
        z = self._peek(EMBED_ROWS)
        root.reshard()
        return z

    def _peek(self, m: int) -> np.ndarray:
        if self.seen is not None:
            return self.seen[:m]
        with _eval(self.net), torch.no_grad():
            x = self.source.batch(np.arange(min(m, len(self.items))))
            # A collapse shows in the projection; the encoder under a collapsed projector looks like an untrained one.
            z = self.net.project(self.net.encode(x)) if hasattr(self.net, "project") else self.learner.embed(self.net, x)
            return z.float().cpu().numpy()

    def save(self) -> None:
        """Everything that a resumed run needs, in one file that appears at once or not at all."""
        if self.folder is None or (rank() and not _sharded()):
            return
        tensors = {f"net/{name}": _whole(value) for name, value in self.net.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer/{name}/{i}/{key}": _whole(value) for key, value in state.items() if isinstance(value, Tensor)}
        if rank():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_tensors(self.folder / CHECKPOINT, tensors, {"step": self.step, "losses": self.losses, "mark": self.mark})

    def restore(self) -> None:
        """Go on where the checkpoint stopped; from the start when there is none yet."""
        from safetensors import safe_open

        path = (self.folder or Path()) / CHECKPOINT
        if self.folder is None or not path.exists():
            return
        try:
            with safe_open(path, framework="pt") as file:
                said = json.loads(file.metadata()["json"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        except Exception as error:
            raise InputError(f"{path} can't be read ({error}): delete it to train from the start") from None
        for key in ("kind", "n", "data"):
            if said["mark"][key] != self.mark[key]:
                was = f"{said['mark']['n']} {said['mark']['kind']}s"
                raise InputError(f"the data are not those of the checkpoint ({was}): train without resume")
        theirs, ours = said["mark"]["parameters"], json.loads(json.dumps(self.mark["parameters"]))
        changed = [f"{k}={theirs.get(k)!r} (now {v!r})" for k, v in ours.items() if theirs.get(k) != v]
        if changed:
            raise InputError(f"the checkpoint was made with {', '.join(changed)}: resume with the same settings or train without resume")
        kept = {k.removeprefix("net/"): v for k, v in tensors.items() if k.startswith("net/")}
        if _sharded():
            kept |= {k: _split(kept[k], like) for k, like in self.net.state_dict().items() if k in kept}
        self.net.load_state_dict(kept)
        for name, optimizer in self.optimizers.items():
            state: dict[int, dict[str, Tensor]] = {}
            prefix = f"optimizer/{name}/"
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            for key, value in tensors.items():
                if key.startswith(prefix):
                    i, slot = key.removeprefix(prefix).split("/", 1)
                    like = parameters[int(i)]
                    state.setdefault(int(i), {})[slot] = _split(value, like) if value.shape == like.shape else value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.step, self.losses = said["step"], said["losses"]


class Plan(NamedTuple):
    """How a training is laid out: the batch, and how many steps and epochs there will be."""

    batch_size: int
    steps_per_epoch: int
    steps: int
    epochs: int


def plan(learner: Learner, n: int) -> Plan:
    """Steps and epochs of a training on n examples."""
    batch_size = min(learner.batch_size, n)
    steps_per_epoch = n // batch_size
    epochs = learner.epochs if learner.epochs is not None else default_epochs(learner.examples, n)
    steps = epochs * steps_per_epoch
    if learner.epochs is None:  # of a very large set, part of one epoch
        steps = min(steps, max(1, learner.examples // batch_size))
    return Plan(batch_size, steps_per_epoch, steps, -(-steps // steps_per_epoch))


def default_epochs(examples: int, n: int) -> int:
    """Epochs that show about `examples` examples: 1 to 200."""
    return int(np.clip(round(examples / n), 1, 200))


def inputs_of(items: Items) -> Inputs:
    """What an encoder has to know of these items."""
    if items.kind == "image":
        shape = items.values.shape
        return Inputs("image", channels=shape[3] if len(shape) == 4 else 1, size=int(min(shape[1:3])))
    if items.kind in GRAPHS:  # nodes without features are told apart by their number
        return Inputs(items.kind, features=len(items) if items.values.features is None else int(items.values.features.shape[1]))
    return Inputs(items.kind, features=0 if items.kind == "text" else int(items.values.shape[1]))


def prepare(encode: Any, items: Items) -> None:
    """Let an encoder measure what it needs of the data before training (word frequencies, say)."""
    if hasattr(encode, "prepare"):
        source = Source(items, encode, inputs_of(items))
        encode.prepare((source.batch(part) for part in batches(source.order())), len(items))


def batches(order: np.ndarray, size: int = EMBED_ROWS) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def family(kind: str) -> str:
    """Tables are read as vectors."""
    return "vector" if kind == "table" else kind


def fingerprint(items: Items) -> int:
    """A checksum of a few rows and ids, to tell one set from another of the same size."""
    index = np.unique(np.linspace(0, len(items) - 1, 16).astype(np.int64))
    rows = items.take(index)
    content = "\0".join(rows).encode("utf-8", "replace") if items.kind == "text" else np.ascontiguousarray(rows).tobytes()
    return zlib.crc32(content)


def _embed(
    function: Callable[[Tensor], Tensor],
    source: Source,
    whitening: Whitening | None = None,
    out: np.ndarray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    done = 0
    with torch.inference_mode():
        for index in source.parts():
            rows = source.batch(index)
            if family(source.items.kind) == "vector" and len(rows) < EMBED_ROWS:
                # Matrix kernels differ with the number of rows; always the same number makes a row's vector its own.
                rows = torch.cat([rows, rows.new_zeros(EMBED_ROWS - len(rows), rows.shape[1])])
            z = function(rows).float().cpu().numpy()
            z = (z if whitening is None else whitening.transform(z))[: len(index)]
            if out is None:
                out = np.empty((len(source), z.shape[1]), dtype=np.float32)
            out[index] = z
            done += len(index)
            if progress:
                progress(done, len(source))
    if out is None:
        raise InputError("nothing to embed: 0 items")
    return out


@contextlib.contextmanager
def _without_denormals() -> Iterator[None]:
    """Numbers below the normal ones are 0 here: they cost a factor of ten on some CPUs. Afterwards they are what they were.

    Left so, SciPy's SVD of a later job of the same process gave NaN.
    """
    off = float(np.full(1, 1e-40, np.float32)[0]) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(off)


@contextlib.contextmanager
def _eval(net: nn.Module) -> Iterator[None]:
    training = net.training
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        net.train(training)


def _validate_vectors(learner: Learner, values: np.ndarray, reset: bool) -> None:
    """scikit-learn's bookkeeping (n_features_in_) for vectors that came as Items."""
    if reset:
        learner.n_features_in_ = values.shape[1]
    elif values.shape[1] != learner.n_features_in_:
        raise InputError(f"vectors have {values.shape[1]} features, {type(learner).__name__} was fitted on {learner.n_features_in_}")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f'device must be "auto", "cpu" or "cuda", got {name!r}') from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda was asked for, but this PyTorch sees no GPU: use device auto or cpu")
    return device


def _fabric(learner: Learner) -> Any:
    """One process alone, or, where launch.py or torchrun started several, this one among them (DDP)."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import TorchElasticEnvironment
    from lightning_fabric.strategies import DDPStrategy, ModelParallelStrategy

    accelerator = "auto" if learner.device == "auto" else _device(learner.device).type
    processes = _processes()
    if processes == 1:
        return Fabric(accelerator=accelerator, devices=1, precision=_precision(learner))
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # not how they found each other
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    # Buffers (batch norm, banks, queues) are kept alike by the parts themselves. Some systems leave weights unused in a step.
    environment = TorchElasticEnvironment()
    strategy: Any = DDPStrategy(forward_sync_buffers=False, find_unused_parameters=True, cluster_environment=environment)
    if _sharded():
        from torch.distributed.fsdp import fully_shard

        def shard(module: nn.Module, mesh: Any) -> nn.Module:
            for parameter in module.parameters():  # of channels-last ones FSDP can't make parts
                parameter.data = parameter.data.contiguous()
            return fully_shard(module, mesh=mesh["data_parallel"])

        # FSDP2: Fabric's own FSDPStrategy, of the first FSDP, refuses CPUs.
        strategy = ModelParallelStrategy(shard, data_parallel_size=processes, tensor_parallel_size=1)
        strategy.cluster_environment = environment
    fabric = Fabric(accelerator=accelerator, devices=here, num_nodes=processes // here, strategy=strategy, precision=_precision(learner))
    fabric.launch()
    return fabric


def _processes() -> int:
    """How many processes launch.py or torchrun started to train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def _sharded() -> bool:
    """Whether each process keeps only a part of every parameter and of the optimizer's state (FSDP)."""
    return _processes() > 1 and os.environ.get("UNLABELED_STRATEGY") == "fsdp"


def _whole(value: Tensor) -> Tensor:
    """A tensor that the processes have parts of; all of them must ask for it."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def _split(value: Tensor, like: Tensor) -> Tensor:
    """The value laid out in memory as another tensor is, which optimizers' fused kernels take for granted, and split as it is."""
    if hasattr(like, "placements"):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return torch.empty_like(like).copy_(value)


def _gather_parameters(net: nn.Module) -> None:
    """Whole parameters again, in place of this process's parts."""
    for module in net.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if hasattr(parameter, "full_tensor"):
                module.register_parameter(name, nn.Parameter(parameter.full_tensor().detach(), parameter.requires_grad))


def _precision(learner: Learner) -> str:
    if learner.precision != "auto":
        return learner.precision
    if _device(learner.device).type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    # On a CPU bf16 pays only where it has instructions for it; elsewhere it is emulated and slow.
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
