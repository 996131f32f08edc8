"""How strongly drugs bind to proteins: Davis and KIBA, as DeepDTA keeps them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlabeled.datasets.named import HOW, VARIABLE
from unlabeled.errors import InputError

SETS = ("davis", "kiba")


@dataclass(frozen=True, eq=False)
class Binding:
    """affinity: float32 [drugs, proteins], higher binds more strongly, NaN where it wasn't measured; SMILES and sequences of them."""

    affinity: np.ndarray
    smiles: list[str]
    sequences: list[str]

    def measured(self) -> tuple[np.ndarray, np.ndarray]:
        """The pairs that were, int64 [m, 2], and their affinity [m]."""
        pairs = np.argwhere(np.isfinite(self.affinity))
        return pairs, self.affinity[pairs[:, 0], pairs[:, 1]]


def binding(name: str) -> Binding:
    """davis: 68 drugs, 442 proteins, pKd (Davis et al., 2011). kiba: 2,111 drugs, 229 proteins, KIBA scores (Tang et al., 2014).

    InputError: another name, no such file.
    """
    if name not in SETS:
        raise InputError(f"no set of drugs and proteins is called {name!r}: wanted one of {', '.join(SETS)}")
    path = Path(os.environ.get(VARIABLE, "")) / "drug_target" / f"{name}.npz"
    if not path.is_file():
        raise InputError(f"no file {str(path)!r}: {HOW}")
    with np.load(path) as found:
        affinity, smiles, sequences = found["affinity"], found["smiles"].tolist(), found["sequences"].tolist()
    return Binding(-np.log10(affinity / 1e9) if name == "davis" else affinity, smiles, sequences)  # Davis: Kd in nM


__all__ = ["Binding", "binding"]
