"""SimCSE without labels."""

from __future__ import annotations

from dataclasses import dataclass

from unlabeled.methods.sentences.sentence_contrast import SentenceContrast


@dataclass(kw_only=True, eq=False)
class SimCSE(SentenceContrast):
    """A sentence is encoded twice under dropout, and finds itself among the other sentences of its batch.

    Gao, Yao and Chen, 2021, "SimCSE: Simple Contrastive Learning of Sentence Embeddings", arXiv:2104.08821, without its supervised
    half. fit takes texts, transform gives float32 [n, width]; InputError as for every sentence encoder.

    >>> model = SimCSE(encoder="a folder of a Hugging Face model").fit(sentences)
    >>> vectors = model.transform(sentences)

    Departures: the mean of the tokens instead of the [CLS] token, which is what the encoders here were made with; the word vectors
    stay as they are (freeze_embeddings), which halves the time.
    """
