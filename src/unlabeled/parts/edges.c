/* Vectors from sampled edges: LINE's steps (Tang et al., 2015). See edges.py, which checks everything first.

   A block of edges is drawn with its negatives, then learned from one by one while the rows of those that come next are fetched. Rows have
   `dim` numbers, a multiple of 16, and start at multiples of 64 bytes. Threads write into the same tables without locks (Recht et al.,
   2011, arXiv:1106.5730). */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef float v16 __attribute__((vector_size(64)));

#define BLOCK 128   /* edges that are drawn at once */
#define AHEAD 3     /* edges whose rows are on their way */
#define MOST 32     /* outputs of an edge: its other end and the negatives */
#define TABLE 4096  /* entries of the logistic function */
#define LIMIT 8.0f  /* where it ends: beyond, the gradient is taken to be that at the limit */
#define SAID 16     /* one edge in so many counts for the loss */

typedef struct { /* as _Task in edges.py */
    float *in, *out; /* [nodes, dim]; of first order the same table */
    const int32_t *sources, *targets; /* [arcs] */
    const float *keep;  /* alias table of the arcs, or NULL: drawn evenly */
    const int32_t *other;
    const float *scale; /* [arcs] times the gradient, or NULL */
    const float *noise_keep; /* alias table of the nodes as negatives */
    const int32_t *noise_other;
    int64_t arcs, nodes, total; /* total: edges to come, over all threads */
    int64_t *done;              /* edges that were, over all threads */
    double *loss;               /* of this thread: sum of losses, and how many */
    float lr;
    int32_t dim, negatives;
} Edges;

static float logistic[TABLE + 1];

void edges_start(void) {
    for (int i = 0; i <= TABLE; i++) logistic[i] = (float)(1 / (1 + exp(-(2.0 * i / TABLE - 1) * LIMIT)));
}

static inline uint64_t next(uint64_t *state) { /* SplitMix64: Steele, Lea and Flood, 2014 */
    uint64_t z = (*state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

/* One of n entries of an alias table: 32 random bits choose it, 24 others whether it stays. Off by n / 2^32 at most. */
static inline int64_t drawn(int64_t n, const float *keep, const int32_t *other, uint64_t *state) {
    uint64_t r = next(state);
    int64_t i = (int64_t)(((r >> 32) * (uint64_t)n) >> 32);
    return keep && (float)((r & 0xffffff) * 0x1p-24) >= keep[i] ? other[i] : i;
}

typedef struct {
    int32_t source, k, rows[MOST];
    float scale;
} Draw;

static void draw(const Edges *e, Draw *d, uint64_t *state) {
    int64_t arc = drawn(e->arcs, e->keep, e->other, state);
    d->source = e->sources[arc], d->rows[0] = e->targets[arc], d->k = 1;
    d->scale = e->scale ? e->scale[arc] : 1;
    for (int j = 0; j < e->negatives; j++) {
        int32_t node = (int32_t)drawn(e->nodes, e->noise_keep, e->noise_other, state);
        /* The right node is no negative; of first order, nor is the node itself. */
        if (node != d->rows[0] && (e->in != e->out || node != d->source)) d->rows[d->k++] = node;
    }
}

static inline void fetch(const float *row, int dim) {
    for (int c = 0; c < dim; c += 16) __builtin_prefetch(row + c, 1);
}

/* u meets its k outputs, the first of them the right one: log s(c.u) + sum over the others of log s(-c.u) goes up. */
static inline __attribute__((always_inline)) double step(float *row, float **rows, const int k, int dim, float lr, int said) {
    v16 *u = (v16 *)row, sums[MOST];
    float g[MOST];
    double loss = 0;
    for (int j = 0; j < k; j++) sums[j] = (v16){0};
    for (int c = 0; c < dim / 16; c++)
        for (int j = 0; j < k; j++) sums[j] += u[c] * ((v16 *)rows[j])[c];
    for (int j = 0; j < k; j++) {
        float x = 0;
        for (int l = 0; l < 16; l++) x += sums[j][l];
        x = x > LIMIT ? LIMIT : x >= -LIMIT ? x : -LIMIT; /* what is no number, too */
        g[j] = ((j == 0) - logistic[(int)((x + LIMIT) * (TABLE / (2 * LIMIT)) + 0.5f)]) * lr;
        if (said) loss += log1p(exp(j == 0 ? -x : x));
    }
    for (int c = 0; c < dim / 16; c++) {
        v16 old = u[c], gained = {0};
        for (int j = 0; j < k; j++) {
            v16 *to = (v16 *)rows[j] + c, was = *to;
            gained += g[j] * was;
            *to = was + g[j] * old;
        }
        u[c] = old + gained;
    }
    return loss;
}

/* So many edges. */
void edges_train(const Edges *e, int64_t samples, uint64_t seed) {
    int dim = e->dim;
    uint64_t state = seed;
    Draw block[BLOCK];
    float *rows[MOST];
    for (int64_t left = samples; left > 0;) {
        int n = left < BLOCK ? (int)left : BLOCK;
        left -= n;
        double done = (double)__atomic_add_fetch(e->done, n, __ATOMIC_RELAXED) / (double)e->total;
        float lr = e->lr * (float)(done < 0.9999 ? 1 - done : 0.0001);
        for (int i = 0; i < n; i++) draw(e, block + i, &state);
        for (int i = 0; i < n; i++) {
            if (i + AHEAD < n) {
                const Draw *soon = block + i + AHEAD;
                fetch(e->in + (int64_t)soon->source * dim, dim);
                for (int j = 0; j < soon->k; j++) fetch(e->out + (int64_t)soon->rows[j] * dim, dim);
            }
            const Draw *d = block + i;
            float *u = e->in + (int64_t)d->source * dim;
            for (int j = 0; j < d->k; j++) rows[j] = e->out + (int64_t)d->rows[j] * dim;
            int said = i % SAID == 0;
            double loss = d->k == 6 ? step(u, rows, 6, dim, lr * d->scale, said) : step(u, rows, d->k, dim, lr * d->scale, said);
            if (said) e->loss[0] += loss, e->loss[1]++;
        }
    }
}
