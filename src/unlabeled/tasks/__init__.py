"""Jobs on vectors, one file each. These are functions: `tasks.cluster(Z)`; heavy packages are imported when one is called."""

# Bound at once, not lazily: the file cluster.py would otherwise take the name of the function once something imports from it.
from unlabeled.tasks.cluster import Clusters, central, cluster, name_clusters
from unlabeled.tasks.duplicates import near_duplicates
from unlabeled.tasks.outliers import outliers

__all__ = ["Clusters", "central", "cluster", "name_clusters", "near_duplicates", "outliers"]
