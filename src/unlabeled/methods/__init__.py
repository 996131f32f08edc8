"""One file a system. By the names that the command line knows them by."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from unlabeled.errors import InputError

NAMED = {
    "none": "unlabeled.methods.frozen.Frozen",
    "simclr": "unlabeled.methods.contrastive.simclr.SimCLR",
    "moco-v2": "unlabeled.methods.contrastive.moco.MoCo",
    "moco-dual-hard": "unlabeled.methods.contrastive.moco_dual_hard.MoCoDualHard",
    "instance-discrimination": "unlabeled.methods.contrastive.instance_discrimination.InstanceDiscrimination",
    "invariance-propagation": "unlabeled.methods.contrastive.invariance_propagation.InvariancePropagation",
    "decoupled-uniformity": "unlabeled.methods.contrastive.decoupled_uniformity.DecoupledUniformity",
    "g-simclr": "unlabeled.methods.contrastive.g_simclr.GSimCLR",
    "triplet-network": "unlabeled.methods.contrastive.triplet_network.TripletNetwork",
    "cpc": "unlabeled.methods.contrastive.cpc.CPC",
    "matryoshka": "unlabeled.methods.contrastive.matryoshka.Matryoshka",
    "swav": "unlabeled.methods.clustering.swav.SwAV",
    "sela": "unlabeled.methods.clustering.sela.SeLa",
    "odc": "unlabeled.methods.clustering.odc.OnlineDeepClustering",
    "deepcluster": "unlabeled.methods.clustering.deepcluster.DeepCluster",
    "clusterfit": "unlabeled.methods.clustering.clusterfit.ClusterFit",
    "deepercluster": "unlabeled.methods.clustering.deepercluster.DeeperCluster",
    "jule": "unlabeled.methods.clustering.jule.JULE",
    "mlc": "unlabeled.methods.clustering.mlc.MLC",
    "simsiam": "unlabeled.methods.siamese.simsiam.SimSiam",
    "byol": "unlabeled.methods.siamese.byol.BYOL",
    "barlow-twins": "unlabeled.methods.siamese.barlow_twins.BarlowTwins",
    "vicreg": "unlabeled.methods.siamese.vicreg.VICReg",
    "dino": "unlabeled.methods.siamese.dino.DINO",
    "lejepa": "unlabeled.methods.siamese.lejepa.LeJEPA",
    "pixpro": "unlabeled.methods.siamese.pixpro.PixPro",
    "obow": "unlabeled.methods.siamese.obow.OBoW",
    "rotnet": "unlabeled.methods.pretext.rotnet.RotNet",
    "jigclu": "unlabeled.methods.pretext.jigclu.JigClu",
    "mae": "unlabeled.methods.generative.mae.MAE",
    "lfr": "unlabeled.methods.tabular.lfr.LFR",
    "tfidf-svd": "unlabeled.methods.words.tfidf_svd.TfidfSVD",
    "word2vec": "unlabeled.methods.words.word2vec.Word2Vec",
    "bpv-disgram": "unlabeled.methods.words.bpv_disgram.BinaryParagraphVectors",
    "disgram": "unlabeled.methods.words.disgram.DisambiguatedSkipGram",
    "concept-embeddings": "unlabeled.methods.words.concept_embeddings.ConceptEmbeddings",
    "moe-embed": "unlabeled.methods.sentences.moe_embed.MoEEmbedder",
    "sent2vec": "unlabeled.methods.words.sent2vec.Sent2Vec",
    "pv-dbow": "unlabeled.methods.words.pv_dbow.PVDBOW",
    "swivel": "unlabeled.methods.words.swivel.Swivel",
    "randwalk": "unlabeled.methods.words.randwalk.RandWalk",
    "glove": "unlabeled.methods.words.glove.GloVe",
    "ppmi-svd": "unlabeled.methods.words.ppmi_svd.PPMISVD",
    "simcse": "unlabeled.methods.sentences.simcse.SimCSE",
    "dclr": "unlabeled.methods.sentences.dclr.DCLR",
    "clusterns": "unlabeled.methods.sentences.clusterns.ClusterNS",
    "compcse": "unlabeled.methods.sentences.compcse.CompCSE",
    "infersent": "unlabeled.methods.sentences.infersent.InferSent",
    "deepwalk": "unlabeled.methods.graphs.deepwalk.DeepWalk",
    "node2vec": "unlabeled.methods.graphs.node2vec.Node2Vec",
    "line": "unlabeled.methods.graphs.line.LINE",
    "grace": "unlabeled.methods.graphs.grace.GRACE",
    "vgae": "unlabeled.methods.graphs.vgae.VGAE",
    "hypeboy": "unlabeled.methods.graphs.hypeboy.HypeBoy",
    "infomgf": "unlabeled.methods.graphs.infomgf.InfoMGF",
    "fie": "unlabeled.methods.graphs.fie.FIE",
    "poincare": "unlabeled.methods.graphs.poincare.Poincare",
    "distmult": "unlabeled.methods.knowledge.distmult.DistMult",
    "transe": "unlabeled.methods.knowledge.transe.TransE",
    "sgc": "unlabeled.methods.graphs.sgc.SGC",
    "adjacency-svd": "unlabeled.methods.graphs.adjacency_svd.AdjacencySVD",
    "sentiment-neuron": "unlabeled.methods.sentences.sentiment_neuron.ByteLM",
}


def method(name: str) -> Any:
    """The estimator class of that name. InputError when there is none, with the names that there are."""
    if name not in NAMED:
        raise InputError(f'no method is called "{name}": choose one of auto, {", ".join(NAMED)}')
    module, _, attribute = NAMED[name].rpartition(".")
    return getattr(import_module(module), attribute)
