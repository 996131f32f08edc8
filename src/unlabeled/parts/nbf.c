/* Messages along the edges of a graph of facts, for many queries at once, without a table of edges. See nbf.py, which checks everything.

   Edges are sorted by where they end: those into node v are starts[v] to starts[v + 1]. x [queries, n, d], rel [queries, kinds, d]. */

#include <stdint.h>
#include <string.h>

typedef struct { /* as _Task in nbf.py */
    const float *x, *rel, *weight; /* weight [edges], 0: the edge is left out */
    const float *g;                /* backward: the gradient of out */
    float *out, *dx, *drel;        /* [queries, n, d], [queries, n, d], [queries, kinds, d]; zeros to begin with */
    const int64_t *starts;         /* [n + 1] */
    const int32_t *from, *kind;    /* [edges] */
    int64_t queries, n, kinds, d;
} Task;

/* A constant d keeps a node's sum in registers. */
#define SIZES(run) \
    switch (t->d) { \
        case 16: run(t, 16); break; \
        case 32: run(t, 32); break; \
        case 64: run(t, 64); break; \
        default: run(t, t->d); \
    }

static inline __attribute__((always_inline)) void forward(const Task *t, int64_t d) {
    for (int64_t b = 0; b < t->queries; b++) {
        const float *restrict x = t->x + b * t->n * d, *restrict rel = t->rel + b * t->kinds * d;
        float *restrict out = t->out + b * t->n * d;
        for (int64_t v = 0; v < t->n; v++) {
            float *restrict sum = out + v * d;
            for (int64_t e = t->starts[v]; e < t->starts[v + 1]; e++) {
                const float *restrict a = x + t->from[e] * d, *restrict r = rel + t->kind[e] * d;
                float w = t->weight[e];
                for (int64_t c = 0; c < d; c++) sum[c] += w * a[c] * r[c];
            }
        }
    }
}

static inline __attribute__((always_inline)) void backward(const Task *t, int64_t d) {
    for (int64_t b = 0; b < t->queries; b++) {
        const float *restrict x = t->x + b * t->n * d, *restrict rel = t->rel + b * t->kinds * d, *restrict g = t->g + b * t->n * d;
        float *restrict dx = t->dx + b * t->n * d, *restrict drel = t->drel + b * t->kinds * d;
        for (int64_t v = 0; v < t->n; v++)
            for (int64_t e = t->starts[v]; e < t->starts[v + 1]; e++) {
                int64_t u = t->from[e] * d, k = t->kind[e] * d;
                float w = t->weight[e];
                if (w == 0) continue;
                for (int64_t c = 0; c < d; c++) {
                    float said = w * g[v * d + c];
                    dx[u + c] += said * rel[k + c];
                    drel[k + c] += said * x[u + c];
                }
            }
    }
}

void nbf_forward(const Task *t) { SIZES(forward) }
void nbf_backward(const Task *t) { SIZES(backward) }
