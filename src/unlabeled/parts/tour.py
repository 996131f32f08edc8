"""A short closed tour through vectors (the travelling salesman's), and how much shorter one could be at most."""

from __future__ import annotations

import time
from itertools import permutations
from typing import Any

import numpy as np

from unlabeled.parts.assign import check_vectors
from unlabeled.parts.neighbours import neighbours

EXACT = 8  # up to so many vectors every tour is tried
SEGMENTS = (1, 2, 3)  # lengths that Or-opt moves
KICK = 50  # longest stretch that a kick moves
PAIRS = 1 << 14  # distances computed at once
BLOCK = 2048  # rows whose moves are looked at together
_KINDS = np.array([(length, s, t) for length in SEGMENTS for s in (1, -1) for t in (0, 1)]).T  # of Or-opt


def tour_length(X: np.ndarray, order: np.ndarray) -> float:
    """Sum of the Euclidean distances along the closed tour."""
    return float(_distance(X, order, np.roll(order, -1)).sum(dtype=np.float64))


def greedy_tour(X: Any, k: int = 10) -> np.ndarray:
    """The rows of X in the order of a greedy tour: the shortest edges that neither branch nor close a ring. int64 [n].

    Edges come from the k nearest neighbours, first of all rows, then, until one path is left, of the ends of the paths.
    """
    X = check_vectors(X, "X")
    n = len(X)
    links: list[list[int]] = [[] for _ in range(n)]
    path = np.arange(n)  # of each end, the other end of its path
    ends = np.arange(n)
    while len(ends) > 2 or (len(ends) == 2 and path[ends[0]] != ends[1]):
        found = neighbours(X[ends], k, metric="euclidean")
        near = found.rows.shape[1]
        a, b, d = np.repeat(ends, near), ends[found.rows.ravel()], found.distances.ravel()
        for edge in np.argsort(d, kind="stable"):
            i, j = int(a[edge]), int(b[edge])
            if len(links[i]) < 2 and len(links[j]) < 2 and path[i] != j:
                links[i].append(j)
                links[j].append(i)
                first, last = path[i], path[j]
                path[first], path[last] = last, first
        ends = np.flatnonzero([len(one) < 2 for one in links])
    order, before = [int(ends[0]) if len(ends) else 0], -1
    while len(order) < n:
        here = order[-1]
        onward = next(one for one in links[here] if one != before)
        before = here
        order.append(onward)
    return np.array(order)


def short_tour(
    X: Any,
    k: int = 10,
    *,
    oropt: bool = True,
    kicks: float = 1.0,
    start: np.ndarray | None = None,
    seed: int = 0,
    time_limit: float | None = None,
) -> np.ndarray:
    """The rows of X [n, d] in the order of a short closed tour, int64 [n]; repeatable for a seed unless time_limit cuts it.

    From the greedy tour (or `start`), 2-opt and Or-opt (segments of one to three rows, either way round) over the k nearest
    neighbours, the improving moves of all rows at once as long as their edges are still there; then iterated local search:
    kicks x n times two short stretches that follow each other change places, what grew shorter around them is kept.
    Croes, 1958; Or, 1976; Martin, Otto and Felten, 1991. Up to eight rows: the shortest tour.
    """
    X = check_vectors(X, "X")
    n = len(X)
    if n <= EXACT:
        tours = [np.array((0, *rest)) for rest in permutations(range(1, n))]
        return min(tours, key=lambda order: tour_length(X, order))
    began, rng = time.monotonic(), np.random.default_rng(seed)
    tour = _Tour(X, k, greedy_tour(X, k) if start is None else np.asarray(start), oropt)
    tour.improve(np.arange(n))
    for _ in range(int(kicks * n)):
        if time_limit is not None and time.monotonic() - began > time_limit:
            break
        before = tour.order.copy(), tour.place.copy()
        touched, gain = tour.kick(rng)
        if gain + tour.improve(touched) < tour.least:
            tour.order, tour.place = before
    return tour.order


def tour_bound(X: Any, length: float, k: int = 10, iters: int = 100) -> float:
    """A number that no closed tour through the rows of X [n, d] is shorter than; `length` is that of a known tour.

    Held and Karp, 1970: the shortest 1-tree, with a price for each row that is raised where the tree branches and lowered
    where it ends. Edges beyond the k nearest neighbours are not looked at one by one: none is shorter than the mean of its
    ends' k-th distances, r_i / 2 + r_j / 2, and the shortest tree of edges priced by their ends is a star, so one star
    stands for all. O(n k) memory; the bound is a little lower than that of all edges, and low where far groups are not joined.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    X = check_vectors(X, "X")
    n = len(X)
    if n <= EXACT:
        return tour_length(X, short_tour(X))
    found = neighbours(X, k, metric="euclidean")
    near = found.rows.shape[1]
    i, j = np.repeat(np.arange(n), near), found.rows.ravel()
    d = _distance(X, i, j).astype(np.float64)
    reach = d.reshape(n, near)[:, -1] / 2 if near < n - 1 else np.full(n, np.inf)
    special = int(d.reshape(n, near)[:, 0].argmax())  # the row that is joined by two edges to a tree of the others
    others = np.flatnonzero(np.arange(n) != special)
    price, best = np.zeros(n), -np.inf
    for _ in range(iters):
        weight, end = d + price[i] + price[j], reach + price
        hub = others[end[others].argmin()]
        star = end[others] + end[hub]
        a = np.concatenate([np.minimum(i, j), np.minimum(others, hub)])
        b = np.concatenate([np.maximum(i, j), np.maximum(others, hub)])
        w = np.concatenate([weight, star])
        at = (a != special) & (b != special) & (a != b) & np.isfinite(w)
        a, b, w = a[at], b[at], w[at]
        first = np.lexsort((w, a * n + b))  # of an edge that is there several times the shortest
        first = first[np.unique((a * n + b)[first], return_index=True)[1]]
        shift = 1 - w.min()  # scipy takes an edge of weight 0 for none
        tree = minimum_spanning_tree(coo_array((w[first] + shift, (a[first], b[first])), shape=(n, n))).tocoo()
        known = np.flatnonzero(i == special)
        two = np.concatenate([weight[known], end[special] + end[others]])
        last = np.argsort(two)[:2]
        joined = np.concatenate([j[known], others])[last]
        value = tree.data.sum() - shift * len(tree.data) + two[last].sum() - 2 * price.sum()
        best = max(best, float(value))
        degree = np.bincount(np.concatenate([tree.row, tree.col, joined]), minlength=n) - 2.0
        degree[special] = 0
        if not degree.any() or value >= length:
            break
        price += (length - value) / np.square(degree).sum() * degree / 2
    return min(best, length)


class _Tour:
    """A tour as an array of rows and the place of each in it; distances are computed when they are asked for."""

    def __init__(self, X: np.ndarray, k: int, order: np.ndarray, oropt: bool):
        found = neighbours(X, k, metric="euclidean")
        self.X, self.order, self.n, self.oropt = X, order.copy(), len(X), oropt
        self.place = np.empty_like(self.order)
        self.place[self.order] = np.arange(self.n)
        self.near, self.reach = found.rows, _distance(X, np.arange(self.n)[:, None], found.rows)
        self.least = 1e-5 * tour_length(X, order) / self.n  # a gain below this is rounding

    def at(self, rows: np.ndarray, steps: int | np.ndarray) -> np.ndarray:
        """What lies so many steps from these rows."""
        return self.order[(self.place[rows] + steps) % self.n]

    def improve(self, active: np.ndarray) -> float:
        """Until no row has a move that shortens the tour; returns by how much it is shorter."""
        total = 0.0
        while len(active):
            found = [self.best_moves(active[first : first + BLOCK]) for first in range(0, len(active), BLOCK)]
            gains, moves = (np.concatenate(part) for part in zip(*found, strict=True))
            touched: list[np.ndarray] = []
            for one in np.argsort(-gains, kind="stable"):
                if gains[one] <= self.least:
                    break
                if self.apply(moves[one]):
                    total += float(gains[one])
                    touched.append(moves[one, 1:])
                else:
                    touched.append(moves[one, 1:2])
            active = np.unique(np.concatenate(touched)) if touched else np.empty(0, np.int64)
        return total

    def best_moves(self, t1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each of the rows t1 [m] the move that gains most: gains [m], moves [m, 7] of (LENGTH of the segment or 0, t1, j, p, q, c, e).

        With c a near row and e next to c. 2-opt (LENGTH 0): the edges (t1, j) and (c, e) go, (t1, c) and (j, e) come.
        Or-opt: the segment from t1 to j, which lies between p and q, goes between c and e, with t1 next to c and j next to e.
        """
        n, place, m = self.n, self.place, len(t1)
        own, c, dc = t1[:, None], self.near[t1], self.reach[t1]
        way = np.array([1, -1])[:, None, None]  # along the tour and against it
        e, after = self.at(c, way), self.at(own, way)
        de, leave = _distance(self.X, c, e), _distance(self.X, own, after)
        # [kinds of move, m, k] or [kinds of move, m, 1]; what a move gains is its bound minus the distance of j and e
        bound = np.where((c != after) & (e != own), leave + de - dc, -np.inf)
        j, p, q, to, lengths = after, own[None].repeat(2, 0), own[None].repeat(2, 0), e, np.zeros(2, np.int64)
        if self.oropt:
            length, s, t = (one[:, None, None] for one in _KINDS)  # t: whether e comes after c or before it
            last, left, right = self.at(own, s * (length - 1)), self.at(own, -s), self.at(own, s * length)
            freed = leave[(s[:, 0, 0] > 0).astype(int)] + _distance(self.X, last, right) - _distance(self.X, left, right)
            target, of = e[t[:, 0, 0]], de[t[:, 0, 0]]
            inside = ((place[c] - place[own]) * s % n < length) | ((place[target] - place[own]) * s % n < length)
            bound = np.concatenate([bound, np.where(inside | (freed <= self.least), -np.inf, freed + of - dc)])
            j, p, q = (np.concatenate(pair) for pair in ((j, last), (p, left), (q, right)))
            to, lengths = np.concatenate([to, target]), np.concatenate([lengths, length[:, 0, 0]])
        # No two rows are nearer than a row and its nearest, so few distances are needed.
        kind, row, near = np.nonzero(bound - np.maximum(self.reach[j, 0], self.reach[to, 0]) > self.least)
        gains = np.full((m, *bound.shape[::2]), -np.inf)
        gains[row, kind, near] = bound[kind, row, near] - _distance(self.X, j[kind, row, 0], to[kind, row, near])
        flat, row = gains.reshape(m, -1), np.arange(m)
        top = flat.argmax(axis=1)
        kind, near = np.divmod(top, c.shape[1])
        rows = [lengths[kind], t1, *(one[kind, row, 0] for one in (j, p, q)), c[row, near], to[kind, row, near]]
        return flat[row, top], np.stack(rows, axis=1)

    def apply(self, move: np.ndarray) -> bool:
        """Make the move if all edges that it takes away are still there."""
        length, i, *rest = move.tolist()
        n, place, order = self.n, self.place, self.order
        if length == 0:
            after, _, _, c, e = rest
            s = 1 if order[(place[i] + 1) % n] == after else -1
            if order[(place[i] + s) % n] != after or order[(place[c] + s) % n] != e:
                return False
            start, stop = (place[after], place[c]) if s == 1 else (place[i], place[e])
            inner = (stop - start) % n + 1
            if inner > n // 2:  # turning round the rest is the same tour
                start, inner = (stop + 1) % n, n - inner
            self.put(start, order[(start + np.arange(inner)) % n][::-1])
            return True
        j, before, q, c, e = rest
        for s in (1, -1):
            first = place[i]
            segment = (first + s * np.arange(length)) % n
            if order[(first - s) % n] != before or order[segment[-1]] != j or order[(first + s * length) % n] != q:
                continue
            apart = (place[e] - place[c]) % n
            if apart not in (1, n - 1) or (place[c] - first) * s % n < length or (place[e] - first) * s % n < length:
                return False
            rows = order[segment]
            x, y = (c, e) if apart == 1 else (e, c)  # x comes before y
            rows = rows if x == c else rows[::-1]  # t1 lies next to c
            low, high = (first, segment[-1]) if s == 1 else (segment[-1], first)
            forward, backward = (place[x] - high) % n, (low - place[y]) % n
            if forward <= backward:
                self.put(low, np.concatenate([order[(high + 1 + np.arange(forward)) % n], rows]))
            else:
                self.put(place[y], np.concatenate([rows, order[(place[y] + np.arange(backward)) % n]]))
            return True
        return False

    def put(self, start: int, rows: np.ndarray) -> None:
        places = (start + np.arange(len(rows))) % self.n
        self.order[places] = rows
        self.place[rows] = places

    def kick(self, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """Two stretches that follow each other change places (a double bridge): the rows at the cuts, and what that gains."""
        most = min(KICK, (self.n - 2) // 2)
        start, first, second = (int(one) for one in rng.integers([0, 1, 1], [self.n, most + 1, most + 1]))
        rows = self.order[(start + np.arange(first + second + 2)) % self.n]
        a, b, c, d, e, f = rows[[0, 1, first, first + 1, first + second, first + second + 1]]
        old, new = _distance(self.X, np.array([[a, c, e], [a, e, c]]), np.array([[b, d, f], [d, b, f]])).sum(axis=1)
        self.put((start + 1) % self.n, np.concatenate([rows[first + 1 : -1], rows[1 : first + 1]]))
        return np.unique(rows[[0, 1, first, first + 1, first + second, first + second + 1]]), float(old - new)


def _distance(X: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances of the rows a and b, which are broadcast."""
    a, b = np.broadcast_arrays(a, b)
    flat, other = a.ravel(), b.ravel()
    found = np.empty(len(flat), np.float32)
    for start in range(0, len(flat), PAIRS):
        part = slice(start, start + PAIRS)
        way = X[flat[part]] - X[other[part]]
        found[part] = np.sqrt(np.einsum("nd,nd->n", way, way))
    return found.reshape(a.shape)
