"""Jobs on vectors, one file each. These are functions: `tasks.cluster(Z)`; heavy packages are imported when one is called.

The estimators, by class name, are at the front door too: `unlabeled.SeA`.
"""

# Bound at once, not lazily: the file cluster.py would otherwise take the name of the function once something imports from it.
from unlabeled.tasks.cluster import Clusters, central, cluster, name_clusters
from unlabeled.tasks.duplicates import near_duplicates
from unlabeled.tasks.outliers import outliers

NAMED = {
    path.rpartition(".")[2]: f"unlabeled.tasks.{path}"
    for path in (
        "adapt.bss.BatchStyleStandardization",
        "classify.CalibratedProbe",
        "classify.LabelPropagation",
        "classify.NearestClassMean",
        "cluster.cpp.CPP",
        "cluster.ddfa.DDFA",
        "cluster.scan.SCAN",
        "concepts.holistic_concepts.ConceptExplainer",
        "curate.hierarchical_curation.HierarchicalKMeans",
        "curate.llm_review_funnel.ReviewFunnel",
        "few_shot.beclr.BECLR",
        "few_shot.beclr.FewShotClassifier",
        "few_shot.hypershot.HyperShot",
        "few_shot.sea.SeA",
        "hamming.HammingIndex",
        "noisy_labels.rcal.RCAL",
        "ood.ood_concepts.OODConcepts",
        "reduce.functorial_manifold.FunctorialEmbedding",
        "reduce.pca.PCA",
        "reduce.tldr.TLDR",
        "reduce.wordtour.WordTour",
        "semi_supervised.dlds.DeepLDS",
        "topics.lbl2vec.Lbl2Vec",
        "topics.lda2vec.LDA2Vec",
        "topics.uctopic.UCTopic",
        "translate.relative_representations.RelativeRepresentation",
    )
}

__all__ = ["Clusters", "central", "cluster", "name_clusters", "near_duplicates", "outliers"]
