/* Riemannian gradient steps in the Poincare ball, and plain ones beside them. See hyperbolic.py, which checks everything first.

   Rows have `width` numbers, a multiple of 4, the last ones 0, which they stay. Nothing transcendental is needed but the loss itself:
   with x = 2 |u - v|^2 / ((1 - |u|^2) (1 - |v|^2)) and r = sqrt(x (x + 2)) the distance is log(1 + x + r), so that exp(-distance) is
   1 / (1 + x + r); and written so, nothing cancels where u and v are near. Threads write without locks (Recht et al., 2011). */

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef double v4 __attribute__((vector_size(32), aligned(8)));

#define OUTPUTS 129  /* the true one, and negatives */
#define WIDTH 1024   /* numbers a row, at most */
#define EDGE 1e-5    /* points stay within 1 - EDGE of the middle */
#define TRIES 64     /* draws for a negative: where nearly everything is related, there are fewer */
#define SAME 1e-24   /* squared distance below which two points are one: the gradient has no direction there */

enum { SOFTMAX, LINKS };

typedef struct { /* as _Task in hyperbolic.py */
    double *vectors;        /* [n, width] */
    const int64_t *starts;  /* [n + 1] */
    const int32_t *targets; /* [pairs] what each node is related to, in rising order, */
    const int32_t *sources; /* [pairs] and the node of each */
    int64_t n, pairs;
    double lr, radius, temperature;
    int32_t width, negatives;
    int32_t euclidean;      /* squared distances, no ball */
    int32_t riemannian;     /* steps by the metric of the ball */
    int32_t loss;           /* SOFTMAX or LINKS */
    int32_t by_degree;      /* negatives are drawn by how many pairs they are in */
} Task;

static inline uint64_t next(uint64_t *state) { /* SplitMix64: Steele, Lea and Flood, 2014 */
    uint64_t z = (*state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static inline int64_t below(uint64_t *state, int64_t n) { return (int64_t)(((__uint128_t)next(state) * (uint64_t)n) >> 64); }

static inline double sum4(v4 a) { return (a[0] + a[2]) + (a[1] + a[3]); }

static int related(const Task *t, int32_t u, int32_t v) {
    const int32_t *a = t->targets + t->starts[u], *b = t->targets + t->starts[u + 1];
    while (b - a > 32) {
        const int32_t *middle = a + (b - a) / 2;
        if (*middle > v) b = middle;
        else a = middle;
    }
    int found = 0;
    for (; a < b; a++) found |= *a == v;
    return found;
}

static int draw(const Task *t, int32_t u, int32_t *out, uint64_t *state) { /* out[1..]: what u isn't related to; how many are in out */
    int k = 1;
    for (int j = 0; j < t->negatives; j++)
        for (int tries = 0; tries < TRIES; tries++) {
            int32_t v;
            if (t->by_degree) {
                int64_t end = below(state, 2 * t->pairs);
                v = end < t->pairs ? t->sources[end] : t->targets[end - t->pairs];
            } else
                v = (int32_t)below(state, t->n);
            if (v == u || related(t, u, v)) continue;
            out[k++] = v;
            break;
        }
    return k;
}

static inline void move(double *row, int n, double keep, double add, const double *other, int ball) { /* row = keep row + add other */
    v4 *a = (v4 *)row, sum = {0};
    const v4 *b = (const v4 *)other;
    for (int c = 0; c < n; c++) {
        a[c] = keep * a[c] + add * b[c];
        sum += a[c] * a[c];
    }
    double square = sum4(sum);
    if (ball && !(square < (1 - EDGE) * (1 - EDGE))) {
        double inside = (1 - EDGE) / sqrt(square);
        for (int c = 0; c < n; c++) a[c] *= inside;
    }
}

/* One step for u: out[0] is what it is related to, out[1..k-1] are not. The loss before the step. */
static double step(const Task *t, int32_t u, const int32_t *out, int k) {
    int n = t->width / 4, ball = !t->euclidean;
    double square[OUTPUTS], beta[OUTPUTS], slope[OUTPUTS], scale[OUTPUTS], like[OUTPUTS];
    double old[WIDTH] __attribute__((aligned(32))), pull[WIDTH] __attribute__((aligned(32)));
    double *row = t->vectors + (int64_t)u * t->width;
    memcpy(old, row, sizeof(double) * t->width);
    memset(pull, 0, sizeof(double) * t->width);
    const v4 *a = (const v4 *)old;
    v4 *p = (v4 *)pull, norm = {0};
    for (int c = 0; c < n; c++) norm += a[c] * a[c];
    for (int j = 0; j < k; j++) {
        const v4 *b = (const v4 *)(t->vectors + (int64_t)out[j] * t->width);
        v4 s = {0}, q = {0};
        for (int c = 0; c < n; c++) {
            v4 d = a[c] - b[c];
            s += d * d, q += b[c] * b[c];
        }
        square[j] = sum4(s), beta[j] = 1 - sum4(q);
    }
    double alpha = fmax(1 - sum4(norm), EDGE), total = 0, loss = 0, least = INFINITY;
    if (ball)
        for (int j = 0; j < k; j++) { /* like: exp(-distance). scale: 1 / r, whatever multiplies both gradients */
            beta[j] = fmax(beta[j], EDGE);
            double x = 2 * square[j] / (alpha * beta[j]), r = sqrt(x * (x + 2));
            like[j] = 1 / (1 + x + r);
            scale[j] = square[j] > SAME ? 1 / r : 0;
        }
    else {
        for (int j = 0; j < k; j++) least = fmin(least, square[j]);
        if (t->loss == SOFTMAX) /* only their shares count */
            for (int j = 0; j < k; j++) like[j] = exp(least - square[j]);
    }
    if (t->loss == SOFTMAX) { /* slope: of the loss, by each distance */
        for (int j = 0; j < k; j++) total += like[j];
        for (int j = 0; j < k; j++) slope[j] = (j == 0) - like[j] / total;
        loss = log(total / like[0]);
        if (!ball && !isfinite(loss)) loss = square[0] - least + log(total);
    } else
        for (int j = 0; j < k; j++) {
            double odds = ((ball ? -log(like[j]) : square[j]) - t->radius) / t->temperature, chance = 1 / (1 + exp(odds));
            slope[j] = ((j == 0) - chance) / t->temperature;
            double z = j == 0 ? odds : -odds;
            loss += z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
        }
    double keep = 1, lr = t->lr;
    for (int j = 0; j < k; j++) { /* u += gain * v - (1 - keep) * u, and v likewise, from what both were */
        double *v = t->vectors + (int64_t)out[j] * t->width, gain, own;
        if (ball) {
            double by_u = t->riemannian ? 1 : 4 / (alpha * alpha), by_v = t->riemannian ? 1 : 4 / (beta[j] * beta[j]);
            double from_u = lr * by_u * slope[j] * scale[j] / beta[j], from_v = lr * by_v * slope[j] * scale[j] / alpha;
            keep -= from_u * (square[j] + alpha), gain = from_u * alpha;
            own = 1 - from_v * (square[j] + beta[j]);
            const v4 *b = (const v4 *)v;
            for (int c = 0; c < n; c++) p[c] += gain * b[c];
            move(v, n, own, from_v * beta[j], old, 1);
        } else {
            gain = 2 * lr * slope[j], keep -= gain, own = 1 - gain;
            const v4 *b = (const v4 *)v;
            for (int c = 0; c < n; c++) p[c] += gain * b[c];
            move(v, n, own, gain, old, 0);
        }
    }
    move(row, n, keep, 1, pull, ball);
    return loss;
}

double hyperbolic_step(const Task *t, int32_t u, const int32_t *out, int32_t k) { return step(t, u, out, k); }

double hyperbolic_train(const Task *t, const int32_t *order, int64_t n, uint64_t seed) { /* pairs order[0..n-1], one after another */
    int32_t out[OUTPUTS];
    uint64_t state = seed;
    double loss = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t u = t->sources[order[i]];
        out[0] = t->targets[order[i]];
        loss += step(t, u, out, draw(t, u, out, &state));
    }
    return loss;
}
