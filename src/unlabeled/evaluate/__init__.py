"""How good a representation is, without labels and with them: plain functions of arrays. Heavy packages load when called."""

from unlabeled.evaluate.collapse import Collapse, collapse
from unlabeled.evaluate.labelfree import (
    alignment,
    domain_purity,
    half_retrieval,
    mean_cosine,
    neighbour_overlap,
    rankme,
    rotation_probe,
    std_sqrt_d,
    tolerance,
    uniformity,
)
from unlabeled.evaluate.maps import map2d, neighbours_kept
from unlabeled.evaluate.probes import clustering_scores, knn_accuracy, linear_probe, probes
from unlabeled.evaluate.similarity import analogy_accuracy, pair_correlation, word_similarity

__all__ = [
    "Collapse",
    "alignment",
    "analogy_accuracy",
    "clustering_scores",
    "collapse",
    "domain_purity",
    "half_retrieval",
    "knn_accuracy",
    "linear_probe",
    "map2d",
    "mean_cosine",
    "neighbour_overlap",
    "neighbours_kept",
    "pair_correlation",
    "probes",
    "rankme",
    "rotation_probe",
    "std_sqrt_d",
    "tolerance",
    "uniformity",
    "word_similarity",
]
