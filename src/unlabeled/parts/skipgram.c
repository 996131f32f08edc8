/* The inner loop of skip-gram, CBOW, paragraph vectors and sums of a text's pieces. See skipgram.py, which checks everything first.

   All inputs of one predicted word meet all its outputs (itself and the negatives, which they share) at once: two small matrix
   products instead of many single pairs (Ji et al., 2016, arXiv:1604.04661). Rows have `dim` numbers, a multiple of 8, and start
   at multiples of 32 bytes. Threads write into the same tables without locks (Recht et al., 2011, arXiv:1106.5730). */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef float v8 __attribute__((vector_size(32)));
typedef float f1 __attribute__((aligned(32)));

#define INPUTS 256  /* of one predicted word */
#define OUTPUTS 128 /* itself and its negatives, or the nodes on its way in the tree */
#define TABLE 4096  /* entries of the logistic function */
#define LIMIT 8.0f  /* where it ends: beyond, the gradient is taken to be that at the limit */

typedef struct { /* as _Task in skipgram.py */
    float *in, *out, *docs;    /* [words, dim], [words, dim] (of a tree: its nodes), [texts, dim] or NULL */
    const int32_t *tokens;     /* words of all texts, one after another */
    const int64_t *starts;     /* [texts + 1] */
    const float *keep;         /* [words] chance to be kept, or NULL */
    const int32_t *noise;      /* [noise_size] words as often as they are to be drawn */
    const int64_t *path_start; /* hierarchical softmax: [words + 1], or NULL */
    const int32_t *path_node;  /* nodes on the way to each word, */
    const uint8_t *path_turn;  /* and which way from there */
    int64_t noise_size, total; /* total: words to come, over all epochs and threads */
    int64_t *done;             /* words that were, over all threads */
    double *loss;              /* of this thread: sum of losses, and how many */
    float lr, lr_end;
    int32_t dim, window, negatives;
    int32_t mean;              /* the mean of a word's neighbours predicts it (CBOW), else each by itself */
    int32_t neighbours;        /* they predict; else documents alone */
    int32_t fixed;             /* `in` and `out` stay */
    int32_t shrink;            /* windows of random size, as is usual, else all as wide */
} Task;

static float logistic[TABLE + 1], softplus[TABLE + 1];

void skipgram_start(void) {
    for (int i = 0; i <= TABLE; i++) {
        double x = (2.0 * i / TABLE - 1) * LIMIT;
        logistic[i] = (float)(1 / (1 + exp(-x)));
        softplus[i] = (float)log1p(exp(x));
    }
}

static inline uint64_t next(uint64_t *state) { /* SplitMix64: Steele, Lea and Flood, 2014 */
    uint64_t z = (*state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static inline float uniform(uint64_t *state) { return (float)(next(state) >> 40) * (1.0f / 16777216.0f); }

static inline float sum8(v8 a) { return ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7])); }

/* S[i][j] = in[i] . out[j], two inputs and three outputs at a time. */
static void products(float **in, int m, float **out, int k, int dim, float *S) {
    int n = dim / 8;
    for (int i = 0; i < m; i += 2) {
        const v8 *a = (const v8 *)in[i], *b = (const v8 *)in[i + 1 < m ? i + 1 : i];
        for (int j = 0; j < k; j += 3) {
            const v8 *p = (const v8 *)out[j], *q = (const v8 *)out[j + 1 < k ? j + 1 : j], *r = (const v8 *)out[j + 2 < k ? j + 2 : j];
            v8 ap = {0}, aq = {0}, ar = {0}, bp = {0}, bq = {0}, br = {0};
            for (int c = 0; c < n; c++) {
                v8 x = a[c], y = b[c], u = p[c], v = q[c], w = r[c];
                ap += x * u, aq += x * v, ar += x * w, bp += y * u, bq += y * v, br += y * w;
            }
            float first[3] = {sum8(ap), sum8(aq), sum8(ar)}, second[3] = {sum8(bp), sum8(bq), sum8(br)};
            for (int l = 0; l < 3 && j + l < k; l++) {
                S[i * k + j + l] = first[l];
                if (i + 1 < m) S[(i + 1) * k + j + l] = second[l];
            }
        }
    }
}

/* to[i] += sum over j of G[i * s + j * t] * from[j], two rows at a time. */
static void add_products(float **to, int m, float **from, int k, int dim, const float *G, int s, int t) {
    int n = dim / 8;
    for (int i = 0; i < m; i += 2) {
        int other = i + 1 < m;
        v8 *a = (v8 *)to[i], *b = (v8 *)to[other ? i + 1 : i];
        for (int c = 0; c < n; c++) {
            v8 x = {0}, y = {0};
            for (int j = 0; j < k; j++) {
                v8 u = ((const v8 *)from[j])[c];
                x += G[i * s + j * t] * u;
                if (other) y += G[(i + 1) * s + j * t] * u;
            }
            a[c] += x;
            if (other) b[c] += y;
        }
    }
}

typedef struct {
    float *rows, *S, *change;
    float *in[INPUTS], *out[OUTPUTS], *to[INPUTS];
    float label[OUTPUTS];
} Space;

/* One step: m inputs predict which of k outputs are right. `scale` times the gradient of in[i] goes to `change` [m, dim]. */
static void step(const Task *t, Space *w, int m, int k, float lr) {
    int dim = t->dim;
    products(w->in, m, w->out, k, dim, w->S);
    double loss = 0;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < k; j++) {
            float x = w->S[i * k + j];
            x = x > LIMIT ? LIMIT : x >= -LIMIT ? x : -LIMIT; /* what is no number, too */
            int at = (int)((x + LIMIT) * (TABLE / (2 * LIMIT)) + 0.5f);
            loss += w->label[j] > 0.5f ? softplus[TABLE - at] : softplus[at];
            w->S[i * k + j] = (w->label[j] - logistic[at]) * lr;
        }
    t->loss[0] += loss, t->loss[1] += m;
    memset(w->change, 0, sizeof(float) * m * dim);
    add_products(w->to, m, w->out, k, dim, w->S, k, 1);
    if (!t->fixed) add_products(w->out, k, w->in, m, dim, w->S, 1, k);
}

static int outputs(const Task *t, Space *w, int32_t word, uint64_t *state) {
    int k = 0;
    if (t->path_start) {
        for (int64_t p = t->path_start[word]; p < t->path_start[word + 1] && k < OUTPUTS; p++, k++) {
            w->out[k] = t->out + (int64_t)t->path_node[p] * t->dim;
            w->label[k] = t->path_turn[p] ? 0.0f : 1.0f;
        }
        return k;
    }
    w->out[k] = t->out + (int64_t)word * t->dim, w->label[k++] = 1;
    for (int j = 0; j < t->negatives; j++) {
        int32_t drawn = t->noise[next(state) % (uint64_t)t->noise_size];
        if (drawn == word) continue;
        w->out[k] = t->out + (int64_t)drawn * t->dim, w->label[k++] = 0;
    }
    return k;
}

static inline void add(float *to, const float *from, float scale, int dim) {
    v8 *a = (v8 *)to;
    const v8 *b = (const v8 *)from;
    for (int c = 0; c < dim / 8; c++) a[c] += scale * b[c];
}

/* The texts from `first` to `last`, once. 0, or 1 where memory is short. */
int skipgram_train(const Task *t, int64_t first, int64_t last, uint64_t seed) {
    int dim = t->dim;
    uint64_t state = seed;
    int64_t longest = 0;
    for (int64_t s = first; s < last; s++)
        if (t->starts[s + 1] - t->starts[s] > longest) longest = t->starts[s + 1] - t->starts[s];
    Space w;
    w.S = malloc(sizeof(float) * INPUTS * OUTPUTS);
    w.change = aligned_alloc(32, sizeof(float) * INPUTS * dim);
    w.rows = aligned_alloc(32, sizeof(float) * dim);
    int32_t *text = malloc(sizeof(int32_t) * (longest + 1));
    if (!w.S || !w.change || !w.rows || !text) {
        free(w.S), free(w.change), free(w.rows), free(text);
        return 1;
    }
    for (int i = 0; i < INPUTS; i++) w.to[i] = w.change + (int64_t)i * dim;
    int64_t unsaid = 0;
    float lr = t->lr;
    for (int64_t s = first; s < last; s++) {
        int64_t n = 0, all = t->starts[s + 1] - t->starts[s];
        for (int64_t i = t->starts[s]; i < t->starts[s + 1]; i++)
            if (!t->keep || uniform(&state) < t->keep[t->tokens[i]]) text[n++] = t->tokens[i];
        unsaid += all;
        if (unsaid > 10000 || s == first) {
            int64_t done = __atomic_add_fetch(t->done, unsaid, __ATOMIC_RELAXED);
            unsaid = 0;
            lr = t->lr - (t->lr - t->lr_end) * (float)((double)done / (double)t->total);
            if (lr < t->lr_end) lr = t->lr_end;
        }
        float *doc = t->docs ? t->docs + s * dim : NULL;
        for (int64_t i = 0; i < n; i++) {
            int m = 0;
            int64_t reach = !t->neighbours ? 0 : t->shrink ? 1 + (int64_t)(next(&state) % (uint64_t)t->window) : t->window;
            int64_t from = i - reach < 0 ? 0 : i - reach, to = i + reach >= n ? n - 1 : i + reach;
            for (int64_t j = from; j <= to && m < INPUTS - 1; j++)
                if (j != i) w.in[m++] = t->in + (int64_t)text[j] * dim;
            if (doc) w.in[m++] = doc;
            if (!m) continue;
            int k = outputs(t, &w, text[i], &state);
            if (t->mean) {
                float *rows[INPUTS];
                memcpy(rows, w.in, sizeof(float *) * m);
                memset(w.rows, 0, sizeof(float) * dim);
                for (int j = 0; j < m; j++) add(w.rows, rows[j], 1.0f / m, dim);
                w.in[0] = w.rows;
                step(t, &w, 1, k, lr);
                for (int j = 0; j < m; j++)
                    if (!t->fixed || rows[j] == doc) add(rows[j], w.change, 1.0f / m, dim);
            } else {
                step(t, &w, m, k, lr);
                for (int j = 0; j < m; j++)
                    if (!t->fixed || w.in[j] == doc) add(w.in[j], w.to[j], 1.0f, dim);
            }
        }
    }
    __atomic_add_fetch(t->done, unsaid, __ATOMIC_RELAXED);
    free(w.S), free(w.change), free(w.rows), free(text);
    return 0;
}
