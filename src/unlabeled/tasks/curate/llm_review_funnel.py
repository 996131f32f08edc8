"""Label a large pool with a costly reviewer by asking it about few items: candidates, one of each group of copies, and what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.checks import number, whole
from unlabeled.parts.neighbours import knn_graph, neighbours
from unlabeled.tasks.curate.reviewers import Reviewer, Verdict, verdict_of

NONE, SEED, REVIEWED, UNSURE, DUPLICATE, PROPAGATED, AUDITED = range(7)
HOW = ("", "seed", "reviewed", "unsure", "duplicate", "propagated", "audited")
NEAR = 50  # neighbours among which copies are looked for: a group has at most about as many, the rest is a group of its own
VOTERS, AGREE = 5, 2 / 3  # nearest decided items that are asked in a propagation, and the share (by similarity) they must agree by


@dataclass
class Reviewed:
    """A label for each item of a pool, with where it comes from. All arrays [n]."""

    labels: np.ndarray  # int8: 1 breaks the policy, 0 doesn't, -1 isn't known
    how: np.ndarray  # int8, a place in HOW
    source: np.ndarray  # int64: the decided item that the label comes from (of decided items themselves), -1 none
    similarity: np.ndarray  # float32: cosine with the source
    confidence: np.ndarray  # float32: the reviewer's, of the source
    reasons: dict[int, str] = field(default_factory=dict)
    rounds: list[dict[str, int]] = field(default_factory=list)
    audit: list[tuple[float, bool]] = field(default_factory=list)  # similarity of each audited label, and did the reviewer confirm it?

    def rows(self) -> Iterator[dict[str, Any]]:
        """One record for each item that has a label, for a table."""
        for i in np.flatnonzero(self.labels >= 0).tolist():
            source = int(self.source[i])
            yield {
                "item": i,
                "label": int(self.labels[i]),
                "how": HOW[self.how[i]],
                "source": source,
                "similarity": round(float(self.similarity[i]), 4),
                "confidence": float(self.confidence[i]),
                "reason": self.reasons.get(source, ""),
            }

    @property
    def reviews(self) -> int:
        """How often the reviewer was asked, audit included."""
        return sum(one["reviews"] for one in self.rounds) + len(self.audit)

    def precision(self) -> tuple[float, float, float] | None:
        """Share of the audited labels that the reviewer confirmed, and its 95 % interval (Wilson, 1927). None: nothing was audited.

        It is about labels that were passed on as positive, not about reviewed ones; where the reviewer errs, so does the audit.
        """
        from scipy.stats import binomtest

        if not self.audit:
            return None
        right, n = sum(agreed for _, agreed in self.audit), len(self.audit)
        low, high = binomtest(right, n).proportion_ci(method="wilson")
        return right / n, float(low), float(high)

    def threshold(self, target: float = 0.95) -> float | None:
        """The lowest similarity from which the audited labels are right in `target` of the cases, by Wilson's lower bound; else None."""
        from scipy.stats import binomtest

        good = None
        ordered = sorted(self.audit, reverse=True)
        for n in range(1, len(ordered) + 1):
            right = sum(agreed for _, agreed in ordered[:n])
            complete = n == len(ordered) or ordered[n][0] < ordered[n - 1][0]
            if complete and binomtest(right, n).proportion_ci(method="wilson").low >= target:
                good = ordered[n - 1][0]
        return good

    def report(self) -> str:
        """Text: items a stage, reviews, and what hangs on each of them."""
        lines = ["round  candidates  groups  reviews  positive  labels passed on"]
        lines += [
            f"{i:5}  {one['candidates']:10,}  {one['groups']:6,}  {one['reviews']:7,}  {one['positive']:8,}  {one['passed on']:16,}"
            for i, one in enumerate(self.rounds, 1)
        ]
        passed = np.isin(self.how, (DUPLICATE, PROPAGATED))
        hang = np.bincount(self.source[passed]) if passed.any() else np.zeros(1, int)
        labelled, asked = int((self.labels >= 0).sum()), max(self.reviews, 1)
        lines.append(f"{labelled:,} of {len(self.labels):,} items have a label, {int((self.labels == 1).sum()):,} of them positive.")
        lines.append(
            f"{self.reviews:,} reviews ({len(self.audit):,} of them for the audit): one for {len(self.labels) / asked:,.0f} items."
        )
        lines.append(f"A wrong review spoils {passed.sum() / asked:.1f} further labels on average, {int(hang.max()):,} at worst.")
        found = self.precision()
        if found is not None:
            lines.append(f"Precision of labels passed on as positive: {found[0]:.3f} (95 % interval {found[1]:.3f} to {found[2]:.3f}).")
        return "\n".join(lines)


@dataclass(kw_only=True, eq=False)
class ReviewFunnel:
    """Find what breaks a policy among many items, asking a costly reviewer (a language model, a person) about few of them.

    Each round: candidates are items near a known positive (cosine `s_cand`) or from an actor who has one; of candidates that are
    copies (cosine `s_dup` with the one that has the most traffic) only that one is reviewed, groups with the most traffic first;
    its label goes to the copies, and to every item whose nearest decided items (cosine `s_prop`) agree. What was found positive
    leads to the next round's candidates. Labels are only passed on from decided items, never from passed-on ones.

    reviewer: (item, policy) -> True, False, None (can't tell) or a Verdict: any function, `tasks.curate.reviewers.OpenAIReviewer`, or
    `tasks.curate.reviewers.ask_person`. embed: a fitted learner, or a function from items to vectors (the paper: a cross-modal one); not
    needed where `run` gets vectors. budget: reviews in all, over at most `rounds` rounds; a round with a smaller share of positives
    than `least_yield` is the last. audit: so many further reviews of labels that were passed on as positive; they are corrected by
    it. least_traffic: items with less are never reviewed. The thresholds are for unit vectors as CLIP's; take them from the audit.
    Departures: groups are not connected components (of a chain of copies the ends may differ) but lie around their representative.
    Qiao et al., 2024, "Scaling Up LLM Reviews for Google Ads Content Moderation", arXiv:2402.14590.

    >>> funnel = ReviewFunnel(reviewer=OpenAIReviewer(base_url=..., model=...), policy="No weapons.", embed=clip, budget=500, audit=50)
    >>> found = funnel.run(ads, seeds=[3, 77], actors=accounts, traffic=views)
    >>> print(found.report()); list(found.rows())
    """

    reviewer: Reviewer
    policy: str = ""
    embed: Any = None
    s_cand: float = 0.5
    s_dup: float = 0.95
    s_prop: float = 0.9
    budget: int = 1000
    rounds: int = 3
    least_yield: float = 0.01
    least_traffic: float = 0.0
    audit: int = 0
    seed: int = 0

    def run(
        self, items: Sequence[Any], *, seeds: Any, negatives: Any = (), vectors: Any = None, actors: Any = None, traffic: Any = None
    ) -> Reviewed:
        """Labels of the items, a sequence or array of n. seeds, negatives: rows known to break the policy, and not to.

        vectors: [n, d]; actors: [n], who each item is from ("" or None: nobody knows); traffic: [n], not negative (by default 1 each).
        InputError: no seeds, rows that aren't there, lengths that differ, no way to get vectors, a vector of zeros.
        """
        for name in ("s_cand", "s_dup", "s_prop"):
            number(name, getattr(self, name), -1)
        n, budget, rounds = len(items), whole("budget", self.budget), whole("rounds", self.rounds)
        X = self._embedded(items, vectors)
        traffic = np.ones(n) if traffic is None else _column("traffic", np.asarray(traffic, np.float64), n)
        if not np.isfinite(traffic).all() or (traffic < 0).any():
            raise InputError("traffic has values below 0 or that are no numbers: wanted how often each item is seen")
        who = _codes(actors, n)
        found = Reviewed(
            labels=np.full(n, -1, np.int8),
            how=np.zeros(n, np.int8),
            source=np.full(n, -1),
            similarity=np.zeros(n, np.float32),
            confidence=np.zeros(n, np.float32),
        )
        positives, others = _places("seeds", seeds, n), _places("negatives", negatives, n)
        if len(positives) == 0 or np.intersect1d(positives, others).size:
            raise InputError(
                f"{len(positives)} seeds, {np.intersect1d(positives, others).size} of them negatives too: wanted 1 or more, and 0"
            )
        for rows, label in ((positives, 1), (others, 0)):
            for row in rows:
                _decide(found, row, Verdict(bool(label)), SEED)
        self._pass_on(X, found)
        for left in range(rounds, 0, -1):
            rows = self._candidates(X, found, who, traffic)
            leader = _groups(X[rows], traffic[rows], self.s_dup)
            weight = np.bincount(leader, traffic[rows], minlength=len(rows))
            size = np.bincount(leader, minlength=len(rows))
            chosen = np.flatnonzero(size)[np.argsort(-weight[size > 0], kind="stable")][: -(-budget // left)]
            before, positive = int((found.labels >= 0).sum()), 0
            for one in chosen:
                verdict = verdict_of(self.reviewer(items[rows[one]], self.policy))
                _decide(found, rows[one], verdict, REVIEWED if verdict.violates is not None else UNSURE)
                positive += verdict.violates is True
                if verdict.violates is not None:
                    copies = rows[(leader == one) & (np.arange(len(rows)) != one)]
                    _follow(found, copies, np.full(len(copies), rows[one]), X[copies] @ X[rows[one]], DUPLICATE)
            self._pass_on(X, found)
            passed = int((found.labels >= 0).sum()) - before - int((found.how[rows[chosen]] == REVIEWED).sum())
            found.rounds.append(
                {
                    "candidates": len(rows),
                    "groups": int((size > 0).sum()),
                    "reviews": len(chosen),
                    "positive": positive,
                    "passed on": passed,
                }
            )
            budget -= len(chosen)
            if positive < self.least_yield * max(len(chosen), 1) or budget <= 0 or positive == 0:
                break
        self._check(items, found)
        return found

    def _candidates(self, X: np.ndarray, found: Reviewed, who: np.ndarray, traffic: np.ndarray) -> np.ndarray:
        """Items without a label that are near a known positive, or from an actor who has one."""
        positive = np.flatnonzero((found.labels == 1) & np.isin(found.how, (SEED, REVIEWED)))
        rows = np.flatnonzero((found.labels < 0) & (found.how != UNSURE) & (traffic >= self.least_traffic))
        if len(rows) == 0:
            return rows
        near = 1 - neighbours(X[positive], 1, queries=X[rows]).distances[:, 0] >= self.s_cand
        guilty = np.isin(who[rows], who[positive][who[positive] >= 0])
        return rows[near | guilty]

    def _pass_on(self, X: np.ndarray, found: Reviewed) -> None:
        """Each undecided item takes the label by which its nearest decided items agree; earlier propagations are made anew."""
        again = found.how == PROPAGATED
        found.labels[again], found.how[again], found.source[again], found.similarity[again] = -1, NONE, -1, 0
        decided = np.flatnonzero(np.isin(found.how, (SEED, REVIEWED)))
        rows = np.flatnonzero(found.how == NONE)
        if len(rows) == 0:
            return
        near = neighbours(X[decided], VOTERS, queries=X[rows])
        similar = 1 - near.distances
        votes = np.where(similar >= self.s_prop, np.maximum(similar, 1e-6), 0)
        says = found.labels[decided][near.rows]
        total = votes.sum(axis=1)
        share = (votes * (says == 1)).sum(axis=1) / np.where(total > 0, total, 1)
        label = (share >= 0.5).astype(np.int8)
        sure = (total > 0) & (np.maximum(share, 1 - share) >= AGREE)
        first = ((votes > 0) & (says == label[:, None])).argmax(axis=1)  # the nearest of those that say so
        place = np.arange(len(rows)), first
        _follow(found, rows[sure], decided[near.rows[place]][sure], similar[place][sure], PROPAGATED)

    def _check(self, items: Sequence[Any], found: Reviewed) -> None:
        """The audit: labels that were passed on as positive are drawn at random and reviewed."""
        passed = np.flatnonzero((found.labels == 1) & np.isin(found.how, (DUPLICATE, PROPAGATED)))
        drawn = np.random.default_rng(self.seed).permutation(passed)[: whole("audit", self.audit, 0)]
        for row in drawn:
            verdict = verdict_of(self.reviewer(items[row], self.policy))
            if verdict.violates is not None:
                found.audit.append((float(found.similarity[row]), verdict.violates))
                _decide(found, row, verdict, AUDITED)

    def _embedded(self, items: Sequence[Any], vectors: Any) -> np.ndarray:
        if vectors is None:
            if self.embed is None:
                raise InputError("neither vectors nor embed: wanted one of them")
            vectors = self.embed.transform(items) if hasattr(self.embed, "transform") else self.embed(items)
        X = check_vectors(vectors, "vectors")
        if len(X) != len(items):
            raise InputError(f"{len(X)} vectors for {len(items)} items: wanted one each")
        length = np.linalg.norm(X, axis=1, keepdims=True)
        if not (length > 0).all():
            raise InputError(f"vectors has a row of zeros, {int(length.argmin())}: it is near to nothing")
        return X / length


def _groups(X: np.ndarray, traffic: np.ndarray, s_dup: float) -> np.ndarray:
    """For each row of X [m, d] the one that stands for it: itself, or one with more traffic at cosine s_dup or more. int64 [m]."""
    leader = np.arange(len(X))
    if len(X) < 2:
        return leader
    graph = knn_graph(X, NEAR, weight="similarity")
    free = np.ones(len(X), bool)
    for i in np.argsort(-traffic, kind="stable"):
        if free[i]:
            edges = slice(graph.indptr[i], graph.indptr[i + 1])
            near = graph.indices[edges][graph.data[edges] >= s_dup]
            near = near[free[near]]
            leader[near], free[near], free[i] = i, False, False
    return leader


def _decide(found: Reviewed, row: int, verdict: Verdict, how: int) -> None:
    found.labels[row], found.how[row] = -1 if verdict.violates is None else int(verdict.violates), how
    found.source[row], found.similarity[row], found.confidence[row] = row, 1, verdict.confidence
    if verdict.reason:
        found.reasons[int(row)] = verdict.reason


def _follow(found: Reviewed, rows: np.ndarray, sources: np.ndarray, similarity: np.ndarray, how: int) -> None:
    """Rows take the labels of their sources."""
    found.labels[rows], found.how[rows], found.source[rows] = found.labels[sources], how, sources
    found.similarity[rows], found.confidence[rows] = similarity, found.confidence[sources]


def _column(name: str, values: np.ndarray, n: int) -> np.ndarray:
    if values.shape != (n,):
        raise InputError(f"{name} has shape {values.shape}: wanted one for each of the {n} items")
    return values


def _codes(actors: Any, n: int) -> np.ndarray:
    """A number for each actor, -1 for none."""
    if actors is None:
        return np.full(n, -1)
    names = _column("actors", np.array(["" if one is None else str(one) for one in actors]), n)
    codes = np.unique(names, return_inverse=True)[1]
    return np.where(names == "", -1, codes)


def _places(name: str, rows: Any, n: int) -> np.ndarray:
    places = np.asarray(rows)
    if places.dtype == bool:
        return np.flatnonzero(_column(name, places, n))
    if places.size and (places.ndim != 1 or places.dtype.kind not in "iu" or places.min() < 0 or places.max() >= n):
        raise InputError(f"{name}={rows!r}: wanted rows of the {n} items, from 0")
    return np.unique(places.astype(np.int64))


__all__ = ["HOW", "ReviewFunnel", "Reviewed"]
