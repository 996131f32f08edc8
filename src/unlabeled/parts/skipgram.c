/* The inner loops of skip-gram, CBOW and paragraph vectors (skipgram_train), of sums of a text's words and n-grams (sums_train) and
   of words with several senses (senses_train). See skipgram.py, which checks everything first.

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
#define CHUNK 32    /* predicted words after which a text's vector is made anew, where it is made of something */
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
    /* Texts whose vector is made of something: of `docs` [texts, doc_dim] and what all texts share. */
    int32_t kind, doc_dim;
    float *shared, *bias;      /* PROJECTED: [dim, doc_dim], [dim]; MIXTURE: topics [mixed, dim] */
    float *state;              /* MIXTURE: squared gradients so far [texts, doc_dim]; senses: how often each was meant [words, mixed] */
    int32_t mixed;             /* topics, or senses of a word */
    float prior, alpha, doc_lr; /* MIXTURE: Dirichlet(alpha) with this weight, and the rate of the proportions; senses: see there */
    /* Sums of n-grams: `in` goes on after the words with n-grams, by hash. */
    int64_t first_gram, buckets;
    int32_t order, dropped;
} Task;

enum { PLAIN, BITS, PROJECTED, MIXTURE };

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
    float *rows, *S, *change, *mixed, *doc, *gained, *inner;
    float *in[INPUTS], *out[OUTPUTS], *to[INPUTS];
    float label[OUTPUTS];
} Space;

static float *room(int64_t numbers) { return aligned_alloc(32, (sizeof(float) * (numbers ? numbers : 8) + 31) / 32 * 32); }

static int make_space(Space *w, const Task *t) {
    int64_t inner = t->dim > t->doc_dim ? t->dim : t->doc_dim;
    w->S = malloc(sizeof(float) * INPUTS * OUTPUTS);
    w->change = room((int64_t)INPUTS * t->dim), w->mixed = room((int64_t)INPUTS * t->dim);
    w->rows = room(t->dim), w->doc = room(t->dim), w->gained = room(t->dim), w->inner = room(2 * inner);
    for (int i = 0; i < INPUTS; i++) w->to[i] = w->change + (int64_t)i * t->dim;
    return w->S && w->change && w->mixed && w->rows && w->doc && w->gained && w->inner;
}

static void free_space(Space *w) {
    free(w->S), free(w->change), free(w->mixed), free(w->rows), free(w->doc), free(w->gained), free(w->inner);
}

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

static inline float dot(const float *a, const float *b, int dim) {
    const v8 *x = (const v8 *)a, *y = (const v8 *)b;
    v8 sum = {0};
    for (int c = 0; c < dim / 8; c++) sum += x[c] * y[c];
    return sum8(sum);
}

static inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

static void softmax(const float *x, float *p, int k) {
    float top = x[0], sum = 0;
    for (int i = 1; i < k; i++) top = x[i] > top ? x[i] : top;
    for (int i = 0; i < k; i++) sum += p[i] = expf(x[i] - top);
    for (int i = 0; i < k; i++) p[i] /= sum;
}

/* A text's vector, to w->doc, from what it learns, `own`. */
static void make_doc(const Task *t, Space *w, const float *own) {
    int dim = t->dim;
    if (t->kind == MIXTURE) {
        softmax(own, w->inner, t->mixed);
        memset(w->doc, 0, sizeof(float) * dim);
        for (int k = 0; k < t->mixed; k++) add(w->doc, t->shared + (int64_t)k * dim, w->inner[k], dim);
        return;
    }
    for (int c = 0; c < dim; c++) {
        float x = t->kind == BITS ? own[c] : t->bias[c] + dot(t->shared + (int64_t)c * t->doc_dim, own, t->doc_dim);
        w->inner[c] = x;
        w->doc[c] = x > 0; /* the sigmoid, rounded */
    }
}

/* w->gained, the rate times the gradient of w->doc, goes to what that was made of. part: of the text's words that it comes from. */
static void learn_doc(const Task *t, Space *w, float *own, float *squares, float lr, float part) {
    int dim = t->dim;
    if (t->kind == MIXTURE) {
        float *p = w->inner, *dp = w->inner + t->mixed, mean = 0;
        /* The prior rises from nothing as the rate falls: at once, it would choose a topic before the words have said any. */
        float prior = t->prior * part * (t->lr > t->lr_end ? (t->lr - lr) / (t->lr - t->lr_end) : 1);
        for (int k = 0; k < t->mixed; k++) {
            float *topic = t->shared + (int64_t)k * dim;
            dp[k] = dot(w->gained, topic, dim) / lr;
            mean += p[k] * dp[k];
            if (!t->fixed) add(topic, w->gained, p[k], dim);
        }
        for (int k = 0; k < t->mixed; k++) { /* of a softmax; the prior is (alpha - 1) sum_k log p_k */
            float g = p[k] * (dp[k] - mean) + prior * (t->alpha - 1) * (1 - t->mixed * p[k]);
            squares[k] += g * g;
            own[k] += t->doc_lr * g / sqrtf(squares[k] + 1e-8f);
        }
        return;
    }
    for (int c = 0; c < dim; c++) { /* rounding lets the gradient pass */
        float y = sigmoid(w->inner[c]);
        w->gained[c] *= y * (1 - y);
    }
    if (t->kind == BITS) {
        add(own, w->gained, 1, dim);
        return;
    }
    float *back = w->mixed; /* the text's own numbers change by the matrix as it was */
    memset(back, 0, sizeof(float) * t->doc_dim);
    for (int c = 0; c < dim; c++) {
        float *row = t->shared + (int64_t)c * t->doc_dim;
        add(back, row, w->gained[c], t->doc_dim);
        if (!t->fixed) add(row, own, w->gained[c], t->doc_dim), t->bias[c] += w->gained[c];
    }
    add(own, back, 1, t->doc_dim);
}

/* The rate now, after `more` further words of all. */
static float rate(const Task *t, int64_t more) {
    int64_t done = __atomic_add_fetch(t->done, more, __ATOMIC_RELAXED);
    float lr = t->lr - (t->lr - t->lr_end) * (float)((double)done / (double)t->total);
    return lr < t->lr_end ? t->lr_end : lr;
}

static int64_t longest_of(const Task *t, int64_t first, int64_t last) {
    int64_t longest = 0;
    for (int64_t s = first; s < last; s++)
        if (t->starts[s + 1] - t->starts[s] > longest) longest = t->starts[s + 1] - t->starts[s];
    return longest;
}

/* The words of text s that are not left out by their frequency. */
static int64_t kept(const Task *t, int64_t s, int32_t *text, uint64_t *state) {
    int64_t n = 0;
    for (int64_t i = t->starts[s]; i < t->starts[s + 1]; i++)
        if (!t->keep || uniform(state) < t->keep[t->tokens[i]]) text[n++] = t->tokens[i];
    return n;
}

/* The texts from `first` to `last`, once. 0, or 1 where memory is short. */
int skipgram_train(const Task *t, int64_t first, int64_t last, uint64_t seed) {
    int dim = t->dim, made = t->docs && t->kind != PLAIN, mixture = t->docs && t->kind == MIXTURE;
    uint64_t state = seed;
    Space w;
    int32_t *text = malloc(sizeof(int32_t) * (longest_of(t, first, last) + 1));
    if (!make_space(&w, t) || !text) {
        free_space(&w), free(text);
        return 1;
    }
    int64_t unsaid = 0;
    float lr = t->lr;
    for (int64_t s = first; s < last; s++) {
        int64_t n = kept(t, s, text, &state);
        unsaid += t->starts[s + 1] - t->starts[s];
        if (unsaid > 10000 || s == first) lr = rate(t, unsaid), unsaid = 0;
        float *own = t->docs ? t->docs + s * t->doc_dim : NULL, *doc = made ? w.doc : own;
        float *squares = mixture ? t->state + s * t->doc_dim : NULL;
        int since = 0;
        for (int64_t i = 0; i < n; i++) {
            int m = 0;
            int64_t reach = !t->neighbours ? 0 : t->shrink ? 1 + (int64_t)(next(&state) % (uint64_t)t->window) : t->window;
            int64_t from = i - reach < 0 ? 0 : i - reach, to = i + reach >= n ? n - 1 : i + reach;
            float *rows[INPUTS];
            for (int64_t j = from; j <= to && m < INPUTS - 1; j++)
                if (j != i) rows[m++] = t->in + (int64_t)text[j] * dim;
            if (doc && !mixture) rows[m++] = doc;
            if (!m) continue;
            if (made && !since) {
                make_doc(t, &w, own);
                memset(w.gained, 0, sizeof(float) * dim);
            }
            int k = outputs(t, &w, text[i], &state);
            if (t->mean) {
                memset(w.rows, 0, sizeof(float) * dim);
                for (int j = 0; j < m; j++) add(w.rows, rows[j], 1.0f / m, dim);
                w.in[0] = w.rows;
            } else if (mixture) {
                for (int j = 0; j < m; j++) {
                    w.in[j] = w.mixed + (int64_t)j * dim;
                    memcpy(w.in[j], doc, sizeof(float) * dim);
                    add(w.in[j], rows[j], 1.0f, dim);
                }
            } else {
                memcpy(w.in, rows, sizeof(float *) * m);
            }
            step(t, &w, t->mean ? 1 : m, k, lr);
            for (int j = 0; j < m; j++) {
                const float *change = t->mean ? w.change : w.to[j];
                float share = t->mean ? 1.0f / m : 1.0f;
                if (mixture) add(w.gained, change, share, dim);
                if (rows[j] == doc) add(made ? w.gained : doc, change, share, dim);
                else if (!t->fixed) add(rows[j], change, share, dim);
            }
            if (made && ++since == CHUNK) learn_doc(t, &w, own, squares, lr, (float)since / n), since = 0;
        }
        if (since) learn_doc(t, &w, own, squares, lr, (float)since / n);
    }
    __atomic_add_fetch(t->done, unsaid, __ATOMIC_RELAXED);
    free_space(&w), free(text);
    return 0;
}

#define GROUP 8    /* targets that share their negatives */
#define PIECE 256  /* words of a text that are learned from at once: sentences are meant */
#define WITHOUT 36 /* a word, and n-grams up to 8 that hold it */

/* (label - sigmoid(x)) times the rate; the loss is counted. */
static inline float gain(const Task *t, float x, int label, float lr) {
    x = x > LIMIT ? LIMIT : x >= -LIMIT ? x : -LIMIT; /* what is no number, too */
    int at = (int)((x + LIMIT) * (TABLE / (2 * LIMIT)) + 0.5f);
    t->loss[0] += softplus[label ? TABLE - at : at];
    return ((float)label - logistic[at]) * lr;
}

/* Up to GROUP targets at places `at` of a text, each predicted by `sum` over all `rows` of it without those that hold the target.

   What all rows gain goes to `all`; what holds a target, and words as they are predicted, change at once. */
static void sums_step(const Task *t, Space *w, const int32_t *text, const int64_t *grams, const int32_t *at, int m, int rows,
                      const float *sum, float *all, float lr, uint64_t *state) {
    int dim = t->dim, longer = t->order - 1, negatives = t->negatives, held[GROUP];
    int32_t drawn[OUTPUTS];
    float *without[GROUP][WITHOUT], each[GROUP];
    for (int j = 0; j < m; j++) {
        int k = 0;
        without[j][k++] = t->in + (int64_t)text[at[j]] * dim;
        for (int l = 0; l < longer; l++)
            for (int i = at[j] - l - 1 < 0 ? 0 : at[j] - l - 1; i <= at[j]; i++)
                if (grams[i * longer + l] >= 0) without[j][k++] = t->in + grams[i * longer + l] * dim;
        held[j] = k, each[j] = 1.0f / (float)(rows - k);
        w->in[j] = w->mixed + (int64_t)j * dim;
        memset(w->in[j], 0, sizeof(float) * dim);
        add(w->in[j], sum, each[j], dim);
        for (int i = 0; i < k; i++) add(w->in[j], without[j][i], -each[j], dim);
    }
    for (int k = 0; k < negatives; k++) {
        drawn[k] = t->noise[next(state) % (uint64_t)t->noise_size];
        w->out[k] = t->out + (int64_t)drawn[k] * dim;
    }
    products(w->in, m, w->out, negatives, dim, w->S);
    for (int j = 0; j < m; j++)
        for (int k = 0; k < negatives; k++) {
            float *x = w->S + j * negatives + k;
            *x = drawn[k] == text[at[j]] ? 0 : gain(t, *x, 0, lr); /* the right word is no negative */
        }
    memset(w->change, 0, sizeof(float) * m * dim);
    add_products(w->to, m, w->out, negatives, dim, w->S, negatives, 1);
    add_products(w->out, negatives, w->in, m, dim, w->S, 1, negatives);
    for (int j = 0; j < m; j++) {
        float *right = t->out + (int64_t)text[at[j]] * dim, pull = gain(t, dot(w->in[j], right, dim), 1, lr);
        add(w->to[j], right, pull, dim);
        add(right, w->in[j], pull, dim);
        add(all, w->to[j], each[j], dim);
        for (int i = 0; i < held[j]; i++) add(without[j][i], w->to[j], -each[j], dim);
    }
    t->loss[1] += m;
}

/* Sums: each word is predicted by the mean of all other words of its text and of the n-grams that don't hold it: those that do would
   tell it. Targets alone are left out by their frequency. GROUP targets see a text's vectors as they were before the first of them. */
int sums_train(const Task *t, int64_t first, int64_t last, uint64_t seed) {
    int dim = t->dim, longer = t->order - 1;
    uint64_t state = seed;
    Space w;
    /* grams[i * longer + l]: row of the n-gram of l + 2 words that begins at word i, or -1 */
    int64_t *grams = malloc(sizeof(int64_t) * (PIECE * longer + 1));
    if (!make_space(&w, t) || !grams) {
        free_space(&w), free(grams);
        return 1;
    }
    float *sum = w.rows, *all = w.gained, lr = t->lr;
    int32_t at[PIECE];
    int64_t unsaid = 0;
    for (int64_t s = first; s < last; s++) {
        unsaid += t->starts[s + 1] - t->starts[s];
        if (unsaid > 10000 || s == first) lr = rate(t, unsaid), unsaid = 0;
        for (int64_t from = t->starts[s]; from + 1 < t->starts[s + 1]; from += PIECE) {
            const int32_t *text = t->tokens + from;
            int n = t->starts[s + 1] - from > PIECE ? PIECE : (int)(t->starts[s + 1] - from), slots = n * longer, g = 0, targets = 0;
            for (int i = 0; i < n; i++)
                if (!t->keep || uniform(&state) < t->keep[text[i]]) at[targets++] = i;
            for (int i = 0; i < n; i++) {
                uint64_t hash = (uint64_t)text[i];
                for (int l = 0; l < longer; l++) {
                    int within = i + l + 1 < n;
                    if (within) hash = hash * 116049371u + (uint64_t)text[i + l + 1], g++;
                    grams[i * longer + l] = within ? t->first_gram + (int64_t)(hash % (uint64_t)t->buckets) : -1;
                }
            }
            for (int d = 0; d < t->dropped && g > 0; d++, g--) {
                int drop;
                do drop = (int)(next(&state) % (uint64_t)slots);
                while (grams[drop] < 0);
                grams[drop] = -1;
            }
            for (int done = 0; done < targets; done += GROUP) {
                memset(sum, 0, sizeof(float) * dim), memset(all, 0, sizeof(float) * dim);
                for (int i = 0; i < n; i++) add(sum, t->in + (int64_t)text[i] * dim, 1, dim);
                for (int i = 0; i < slots; i++)
                    if (grams[i] >= 0) add(sum, t->in + grams[i] * dim, 1, dim);
                sums_step(t, &w, text, grams, at + done, targets - done < GROUP ? targets - done : GROUP, n + g, sum, all, lr, &state);
                for (int i = 0; i < n; i++) add(t->in + (int64_t)text[i] * dim, all, 1, dim);
                for (int i = 0; i < slots; i++)
                    if (grams[i] >= 0) add(t->in + grams[i] * dim, all, 1, dim);
            }
        }
    }
    __atomic_add_fetch(t->done, unsaid, __ATOMIC_RELAXED);
    free_space(&w), free(grams);
    return 0;
}

/* Senses: a word's vector is a mixture of its senses', weighed by what stands around it, and predicts that.

   `in` holds the senses [words, mixed, dim], `shared` and `bias` what chooses among them [words, mixed, dim], [words, mixed].
   alpha: temperature; doc_lr: how much noise (Gumbel's, 0 or 1); prior: weight of the entropy of the choice, which is to be small. */
int senses_train(const Task *t, int64_t first, int64_t last, uint64_t seed) {
    int dim = t->dim, senses = t->mixed;
    uint64_t state = seed;
    Space w;
    int32_t *text = malloc(sizeof(int32_t) * (longest_of(t, first, last) + 1));
    if (!make_space(&w, t) || !text) {
        free_space(&w), free(text);
        return 1;
    }
    int64_t unsaid = 0;
    float lr = t->lr;
    for (int64_t s = first; s < last; s++) {
        int64_t n = kept(t, s, text, &state);
        unsaid += t->starts[s + 1] - t->starts[s];
        if (unsaid > 10000 || s == first) lr = rate(t, unsaid), unsaid = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t reach = t->shrink ? 1 + (int64_t)(next(&state) % (uint64_t)t->window) : t->window;
            int64_t from = i - reach < 0 ? 0 : i - reach, to = i + reach >= n ? n - 1 : i + reach;
            /* The context counts whole, [from, to] or not: it is what the sense is told by. */
            int64_t left = i - t->window < 0 ? 0 : i - t->window, right = i + t->window >= n ? n - 1 : i + t->window;
            if (left == right) continue;
            float *context = w.doc, logit[32], p[32], z[32], dz[32], entropy = 0, mean = 0;
            memset(context, 0, sizeof(float) * dim);
            for (int64_t j = left; j <= right; j++)
                if (j != i) add(context, t->out + (int64_t)text[j] * dim, 1.0f / (float)(right - left), dim);
            int64_t own = (int64_t)text[i] * senses;
            memset(w.rows, 0, sizeof(float) * dim);
            for (int k = 0; k < senses; k++) logit[k] = dot(context, t->shared + (own + k) * dim, dim) + t->bias[own + k];
            softmax(logit, p, senses);
            for (int k = 0; k < senses; k++) {
                if (t->doc_lr > 0) logit[k] -= t->doc_lr * logf(-logf(uniform(&state) + 1e-9f) + 1e-9f);
                logit[k] /= t->alpha;
            }
            softmax(logit, z, senses);
            for (int k = 0; k < senses; k++) {
                add(w.rows, t->in + (own + k) * dim, z[k], dim);
                t->state[own + k] += z[k];
                entropy -= p[k] * logf(p[k] + 1e-12f);
            }
            w.in[0] = w.rows;
            int k = 0;
            for (int64_t j = from; j <= to; j++) {
                if (j == i) continue;
                w.out[k] = t->out + (int64_t)text[j] * dim, w.label[k++] = 1;
                for (int d = 0; d < t->negatives; d++) {
                    int32_t drawn = t->noise[next(&state) % (uint64_t)t->noise_size];
                    if (drawn != text[j]) w.out[k] = t->out + (int64_t)drawn * dim, w.label[k++] = 0;
                }
            }
            step(t, &w, 1, k, lr);
            for (int a = 0; a < senses; a++) mean += z[a] * (dz[a] = dot(w.change, t->in + (own + a) * dim, dim));
            for (int a = 0; a < senses; a++) {
                float g = z[a] * (dz[a] - mean) / t->alpha + lr * t->prior * p[a] * (logf(p[a] + 1e-12f) + entropy);
                add(t->in + (own + a) * dim, w.change, z[a], dim);
                add(t->shared + (own + a) * dim, context, g, dim);
                t->bias[own + a] += g;
            }
        }
    }
    __atomic_add_fetch(t->done, unsaid, __ATOMIC_RELAXED);
    free_space(&w), free(text);
    return 0;
}
