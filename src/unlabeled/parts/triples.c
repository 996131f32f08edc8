/* Vectors of entities and relations from facts and corrupted facts, one fact a step. See triples.py, which checks everything first.

   A score is that of a query and an answer: S(h, r, t) = s(q(h, r), t) = s(p(t, r), h), with s a dot product, or minus the squared
   distance. So one query serves the fact and all its negatives on that side, and its gradient goes back once. Threads write into the
   same tables without locks (Recht et al., 2011, arXiv:1106.5730). */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 16 /* draws for a negative: where nearly everything is a fact, there are fewer */
#define AHEAD 4  /* facts whose rows are asked for before they are needed */

enum { DISTMULT, TRANSE, COMPLEX, BILINEAR };
enum { LOGISTIC, MARGIN };
enum { SGD, BY_ROW, BY_ELEMENT };

typedef struct { /* as _Task in triples.py */
    float *entities, *relations;             /* [n, dim], [relations, wide] */
    float *entity_squares, *relation_squares; /* of AdaGrad: as the tables, or one a row, or NULL */
    const int32_t *facts;                     /* [facts, 3], in the order of this epoch */
    const uint64_t *known;                    /* hashed facts, EMPTY where there is none; or NULL */
    const uint64_t *maybe;                    /* a bit for each value of a hash that some fact has: small enough to stay near */
    uint64_t mask, bits;                      /* places in `known`, and bits in `maybe`, less one */
    int64_t n, n_relations;
    double *loss;                             /* of this thread: sum of losses, and how many */
    float lr, margin, l2;
    int32_t dim, wide, negatives, kind, criterion, optimizer;
    int32_t unit;                             /* vectors of entities are brought to length 1 after each step */
} Task;

#define EMPTY UINT64_MAX

static inline uint64_t mixed(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static inline uint64_t next(uint64_t *state) { return mixed(*state += 0x9E3779B97F4A7C15ull); } /* SplitMix64: Steele, Lea and Flood, 2014 */

static inline int64_t below(uint64_t *state, int64_t n) { return (int64_t)(((__uint128_t)next(state) * (uint64_t)n) >> 64); }

static inline uint64_t key_of(int64_t n, int64_t relations, int64_t h, int64_t r, int64_t t) {
    return ((uint64_t)h * (uint64_t)relations + (uint64_t)r) * (uint64_t)n + (uint64_t)t;
}

/* Put facts int32 [m, 3] into `known`, which has mask + 1 places, a power of 2 above m, all EMPTY, and `maybe`, all 0. */
void triples_hash(const int32_t *facts, int64_t m, int64_t n, int64_t relations, uint64_t *known, uint64_t mask, uint64_t *maybe, uint64_t bits) {
    for (int64_t i = 0; i < m; i++) {
        uint64_t key = key_of(n, relations, facts[3 * i], facts[3 * i + 1], facts[3 * i + 2]), hash = mixed(key), at = hash & mask;
        maybe[(hash & bits) >> 6] |= 1ull << (hash & 63);
        while (known[at] != EMPTY && known[at] != key) at = (at + 1) & mask;
        known[at] = key;
    }
}

static int is_known(const Task *t, int64_t h, int64_t r, int64_t tail) {
    uint64_t key = key_of(t->n, t->n_relations, h, r, tail), hash = mixed(key), at = hash & t->mask;
    if (!(t->maybe[(hash & t->bits) >> 6] >> (hash & 63) & 1)) return 0;
    while (t->known[at] != EMPTY && t->known[at] != key) at = (at + 1) & t->mask;
    return t->known[at] == key;
}

/* q: what the answers to (h, r, ?) are held against, or with x the tail and heads = 1 those to (?, r, t). */
static void query(const Task *t, const float *restrict x, const float *restrict r, int heads, float *restrict q) {
    int d = t->dim, half = d / 2;
    if (t->kind == DISTMULT) {
        for (int c = 0; c < d; c++) q[c] = x[c] * r[c];
    } else if (t->kind == TRANSE) {
        float sign = heads ? -1 : 1;
        for (int c = 0; c < d; c++) q[c] = x[c] + sign * r[c];
    } else if (t->kind == COMPLEX) { /* x r, or x times the conjugate of r */
        float sign = heads ? -1 : 1;
        for (int c = 0; c < half; c++) {
            q[c] = x[c] * r[c] - sign * x[half + c] * r[half + c];
            q[half + c] = x[half + c] * r[c] + sign * x[c] * r[half + c];
        }
    } else if (heads) { /* M x */
        for (int i = 0; i < d; i++) {
            float sum = 0;
            for (int c = 0; c < d; c++) sum += r[(int64_t)i * d + c] * x[c];
            q[i] = sum;
        }
    } else { /* x M */
        memset(q, 0, sizeof(float) * d);
        for (int i = 0; i < d; i++)
            for (int c = 0; c < d; c++) q[c] += x[i] * r[(int64_t)i * d + c];
    }
}

/* dx and dr grow by what the gradient g of the query says of x and r. */
static void back(const Task *t, const float *restrict x, const float *restrict r, int heads, const float *restrict g, float *restrict dx,
                 float *restrict dr) {
    int d = t->dim, half = d / 2;
    if (t->kind == DISTMULT) {
        for (int c = 0; c < d; c++) dx[c] += g[c] * r[c], dr[c] += g[c] * x[c];
    } else if (t->kind == TRANSE) {
        float sign = heads ? -1 : 1;
        for (int c = 0; c < d; c++) dx[c] += g[c], dr[c] += sign * g[c];
    } else if (t->kind == COMPLEX) {
        float sign = heads ? -1 : 1;
        for (int c = 0; c < half; c++) {
            float a = g[c], b = g[half + c];
            dx[c] += a * r[c] + sign * b * r[half + c];
            dx[half + c] += b * r[c] - sign * a * r[half + c];
            dr[c] += a * x[c] + b * x[half + c];
            dr[half + c] += sign * (b * x[c] - a * x[half + c]);
        }
    } else {
        for (int i = 0; i < d; i++) {
            const float *row = r + (int64_t)i * d;
            float *change = dr + (int64_t)i * d, sum = 0;
            if (heads) {
                for (int c = 0; c < d; c++) dx[c] += g[i] * row[c], change[c] += g[i] * x[c];
            } else {
                for (int c = 0; c < d; c++) sum += g[c] * row[c], change[c] += x[i] * g[c];
                dx[i] += sum;
            }
        }
    }
}

static float held_against(const Task *t, const float *restrict q, const float *restrict y) {
    float sum = 0;
    if (t->kind == TRANSE) {
        for (int c = 0; c < t->dim; c++) sum -= (q[c] - y[c]) * (q[c] - y[c]);
    } else
        for (int c = 0; c < t->dim; c++) sum += q[c] * y[c];
    return sum;
}

/* dq grows, and dy becomes, w times the gradient of that score. */
static void apart(const Task *t, float w, const float *restrict q, const float *restrict y, float *restrict dq, float *restrict dy) {
    if (t->kind == TRANSE) {
        for (int c = 0; c < t->dim; c++) {
            float g = 2 * w * (q[c] - y[c]);
            dq[c] -= g, dy[c] = g;
        }
    } else
        for (int c = 0; c < t->dim; c++) dq[c] += w * y[c], dy[c] = w * q[c];
}

static void update(const Task *t, float *restrict row, float *restrict squares, float *restrict g, int n, float l2, int unit) {
    float sum = 0, lr = t->lr;
    if (l2 > 0)
        for (int c = 0; c < n; c++) g[c] += l2 * row[c];
    if (t->optimizer == BY_ELEMENT) {
        for (int c = 0; c < n; c++) {
            float s = squares[c] + g[c] * g[c];
            squares[c] = s;
            row[c] -= lr * g[c] / (sqrtf(s) + 1e-10f);
        }
    } else {
        if (t->optimizer == BY_ROW) {
            for (int c = 0; c < n; c++) sum += g[c] * g[c];
            lr /= sqrtf(*squares += sum / n) + 1e-10f;
        }
        for (int c = 0; c < n; c++) row[c] -= lr * g[c];
    }
    if (unit) {
        float length = 0;
        for (int c = 0; c < n; c++) length += row[c] * row[c];
        length = length > 0 ? 1 / sqrtf(length) : 0;
        for (int c = 0; c < n; c++) row[c] *= length;
    }
}

static inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }
static inline float softplus(float x) { return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x)); }

static inline void ask_for(const Task *t, int64_t entity) {
    const float *row = t->entities + entity * t->dim, *squares = t->entity_squares + entity * (t->optimizer == BY_ELEMENT ? t->dim : 1);
    for (int c = 0; c < t->dim; c += 16) __builtin_prefetch(row + c);
    for (int c = 0; c < t->dim && (t->optimizer == BY_ELEMENT || !c); c += 16) __builtin_prefetch(squares + c, 1);
}

/* Drawn for a fact: what stands in its tail's place (side 0) or its head's (1), -1 where nothing was found. */
static void draw(const Task *t, const int32_t *fact, int32_t *drawn, uint8_t *side, uint64_t *state) {
    int coin = (int)(next(state) & 1);
    for (int j = 0; j < t->negatives; j++) {
        side[j] = (uint8_t)((coin + j) & 1), drawn[j] = -1;
        for (int tries = 0; tries < TRIES; tries++) {
            int32_t e = (int32_t)below(state, t->n);
            if (e == fact[side[j] ? 0 : 2]) continue;
            if (t->known && (side[j] ? is_known(t, e, fact[1], fact[2]) : is_known(t, fact[0], fact[1], e))) continue;
            drawn[j] = e;
            break;
        }
        if (drawn[j] >= 0) ask_for(t, drawn[j]);
    }
}

/* The facts from `first` to `last`, once. 0, or 1 where memory is short. */
int triples_train(const Task *t, int64_t first, int64_t last, uint64_t seed) {
    int d = t->dim, K = t->negatives;
    int64_t squares = t->optimizer == BY_ELEMENT ? d : 1, wide_squares = t->optimizer == BY_ELEMENT ? t->wide : 1;
    float *room = malloc(sizeof(float) * ((size_t)(6 + K) * d + t->wide)), *s = malloc(sizeof(float) * K);
    int32_t *drawn = malloc(sizeof(int32_t) * (size_t)K * AHEAD);
    uint8_t *side = malloc((size_t)K * AHEAD);
    if (!room || !s || !drawn || !side) {
        free(room), free(s), free(drawn), free(side);
        return 1;
    }
    float *q = room, *p = q + d, *dq = p + d, *dp = dq + d, *dh = dp + d, *dt = dh + d, *dn = dt + d, *dr = dn + (int64_t)K * d;
    uint64_t state = seed;
    for (int64_t i = first; i < last + AHEAD; i++) {
        if (i < last) {
            ask_for(t, t->facts[3 * i]), ask_for(t, t->facts[3 * i + 2]);
            draw(t, t->facts + 3 * i, drawn + (i % AHEAD) * K, side + (i % AHEAD) * K, &state);
        }
        /* The rows of the fact AHEAD - 1 before were asked for then. */
        int64_t now = i - (AHEAD - 1);
        if (now < first || now >= last) continue;
        const int32_t *fact = t->facts + 3 * now, *e = drawn + (now % AHEAD) * K;
        const uint8_t *on = side + (now % AHEAD) * K;
        float *h = t->entities + (int64_t)fact[0] * d, *r = t->relations + (int64_t)fact[1] * t->wide;
        float *tail = t->entities + (int64_t)fact[2] * d;
        int any_head = 0;
        for (int j = 0; j < K; j++) any_head |= e[j] >= 0 && on[j];
        query(t, h, r, 0, q);
        if (any_head) query(t, tail, r, 1, p);
        float right = held_against(t, q, tail), pull = 0, loss = 0;
        int moved = 0;
        for (int j = 0; j < K; j++) {
            if (e[j] < 0) {
                s[j] = 0;
                continue;
            }
            float wrong = held_against(t, on[j] ? p : q, t->entities + (int64_t)e[j] * d);
            if (t->criterion == MARGIN) {
                float gap = t->margin + wrong - right;
                s[j] = gap > 0 ? 1 : 0, pull -= s[j];
                loss += gap > 0 ? gap : 0;
            } else
                s[j] = sigmoid(wrong), loss += softplus(wrong);
            moved |= s[j] != 0;
        }
        if (t->criterion == LOGISTIC) pull = sigmoid(right) - 1, loss += softplus(-right), moved = 1;
        t->loss[0] += loss, t->loss[1] += 1;
        if (!moved) continue;
        memset(dq, 0, sizeof(float) * 3 * d), memset(dr, 0, sizeof(float) * t->wide); /* dq, dp, dh */
        apart(t, pull, q, tail, dq, dt);
        for (int j = 0; j < K; j++)
            if (s[j] != 0) apart(t, s[j], on[j] ? p : q, t->entities + (int64_t)e[j] * d, on[j] ? dp : dq, dn + (int64_t)j * d);
        back(t, h, r, 0, dq, dh, dr);
        if (any_head) back(t, tail, r, 1, dp, dt, dr);
        float l2 = t->unit ? 0 : t->l2;
        update(t, h, t->entity_squares + fact[0] * squares, dh, d, l2, t->unit);
        update(t, tail, t->entity_squares + fact[2] * squares, dt, d, l2, t->unit);
        for (int j = 0; j < K; j++)
            if (s[j] != 0)
                update(t, t->entities + (int64_t)e[j] * d, t->entity_squares + e[j] * squares, dn + (int64_t)j * d, d, l2, t->unit);
        update(t, r, t->relation_squares + fact[1] * wide_squares, dr, t->wide, t->l2, 0);
    }
    free(room), free(s), free(drawn), free(side);
    return 0;
}
