/* Random walks over a graph, second-order ones by rejection: see walks.py, which checks everything first. */

#include <math.h>
#include <stdint.h>

typedef struct { /* as _Task in walks.py */
    const int64_t *starts;  /* [nodes + 1] */
    const int32_t *targets; /* [arcs], rising within a node */
    const float *weights;   /* [arcs], or NULL: all 1 */
    const float *keep;      /* alias tables of the weights, each node's own, or NULL */
    const int32_t *other;
    const double *sums;     /* [nodes] of weights, or NULL */
    double p, q;
    int64_t length;
} Walks;

static inline uint64_t next(uint64_t *state) { /* SplitMix64: Steele, Lea and Flood, 2014 */
    uint64_t z = (*state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static inline double uniform(uint64_t *state) { return (double)(next(state) >> 11) * 0x1p-53; }

/* One of n by a product instead of a division; off from even by n / 2^32 at most (Lemire, 2019). */
static inline int64_t below(uint64_t random32, int64_t n) { return (int64_t)((random32 * (uint64_t)n) >> 32); }

/* A neighbour of v in proportion to the weights of the arcs. */
static inline int32_t first_order(const Walks *w, int32_t v, uint64_t *state) {
    int64_t from = w->starts[v];
    uint64_t r = next(state);
    int64_t i = from + below(r >> 32, w->starts[v + 1] - from);
    if (w->keep && (float)((r & 0xffffff) * 0x1p-24) >= w->keep[i]) i = from + w->other[i];
    return w->targets[i];
}

/* The arc from a to b, or -1. */
static inline int64_t arc(const Walks *w, int32_t a, int32_t b) {
    int64_t at = w->starts[a], n = w->starts[a + 1] - at;
    if (!n) return -1;
    while (n > 1) {
        int64_t half = n >> 1;
        at = w->targets[at + half] <= b ? at + half : at;
        n -= half;
    }
    return w->targets[at] == b ? at : -1;
}

/* From v, having come from t: x with a chance in proportion to alpha(t, x) w(v, x), alpha being 1/p for x = t, 1 for x that t points
   to, else 1/q (Grover and Leskovec, 2016).

   x is drawn by its weight and kept with chance alpha / top. Where going back is what alpha favours most, it would make everything else
   be refused often: what it has above the others' top is drawn apart (Yang et al., 2019, KnightKing). */
static inline int32_t second_order(const Walks *w, int32_t t, int32_t v, uint64_t *state) {
    double back = 1 / w->p, far = 1 / w->q, top = far > 1 ? far : 1, least = far < 1 ? far : 1;
    double apart = 0;
    if (back > top) {
        int64_t to_t = arc(w, v, t);
        double extra = to_t < 0 ? 0 : (back - top) * (w->weights ? w->weights[to_t] : 1);
        double sum = w->weights ? w->sums[v] : (double)(w->starts[v + 1] - w->starts[v]);
        apart = extra / (sum * top + extra);
        back = top;
    }
    for (;;) { /* what is refused is drawn anew from all */
        if (apart > 0 && uniform(state) < apart) return t;
        int32_t x = first_order(w, v, state);
        double u = uniform(state) * top;
        if (x == t ? u < back : u < least || u < (arc(w, t, x) >= 0 ? 1 : far)) return x;
    }
}

/* The walks `first` to `last` of those that start at `nodes`, to out [walks, length]; lengths: of each, less where it came to a dead end.

   Walk i has random numbers of its own, so that it is the same whoever makes it. */
void walks_make(const Walks *w, const int32_t *nodes, int64_t first, int64_t last, uint64_t seed, int32_t *out, int32_t *lengths) {
    int second = w->p != 1 || w->q != 1;
    for (int64_t i = first; i < last; i++) {
        uint64_t state = seed + (uint64_t)i * 0xD1342543DE82EF95ull;
        state = next(&state);
        int32_t *walk = out + i * w->length;
        int32_t v = nodes[i];
        int64_t n = 0;
        walk[n++] = v;
        while (n < w->length && w->starts[v] < w->starts[v + 1]) {
            v = second && n > 1 ? second_order(w, walk[n - 2], v, &state) : first_order(w, v, &state);
            walk[n++] = v;
        }
        lengths[i] = (int32_t)n;
    }
}
