// AdaGrad over the cells of a matrix, one at a time. Used by cell_factors.py.

#include <math.h>
#include <stdint.h>

typedef struct {
    float *rows, *columns, *row_sums, *column_sums;  // vectors [n, width], and the squares of their gradients so far
    float *row_bias, *column_bias, *row_bias_sums, *column_bias_sums;  // NULL: there are none
    double *constant;  // the constant, the squares of its gradients, whether it is learned
    float lr;
    int32_t width, norm;
} Factors;

static inline void turn(float *value, float *sum, float gradient, float lr) {
    *sum += gradient * gradient;
    *value -= lr * gradient / sqrtf(*sum);
}

// Steps on weight/2 * (score - target)^2 of the cells in `order`; score: <u, v>, or |u + v|^2 (norm). Returns the loss before each step, added up.
double factors_step(const Factors *of, const int32_t *row, const int32_t *column, const float *target, const float *weight,
                    const int64_t *order, int64_t n) {
    double loss = 0;
    const int32_t width = of->width;
    const float lr = of->lr;
    for (int64_t at = 0; at < n; at++) {
        int64_t cell = order[at];
        if (at + 2 < n) {
            int64_t r = (int64_t)row[order[at + 2]] * width, c = (int64_t)column[order[at + 2]] * width;
            __builtin_prefetch(of->rows + r), __builtin_prefetch(of->row_sums + r);
            __builtin_prefetch(of->columns + c), __builtin_prefetch(of->column_sums + c);
        }
        int32_t i = row[cell], j = column[cell];
        float *u = of->rows + (int64_t)i * width, *v = of->columns + (int64_t)j * width;
        float *us = of->row_sums + (int64_t)i * width, *vs = of->column_sums + (int64_t)j * width;
        float score = (float)of->constant[0];
        if (of->norm)
            for (int32_t k = 0; k < width; k++) score += (u[k] + v[k]) * (u[k] + v[k]);
        else
            for (int32_t k = 0; k < width; k++) score += u[k] * v[k];
        if (of->row_bias) score += of->row_bias[i] + of->column_bias[j];
        float error = score - target[cell], g = weight[cell] * error;
        loss += 0.5 * weight[cell] * error * error;
        if (of->constant[2]) {
            of->constant[1] += (double)g * g;
            of->constant[0] -= lr * g / sqrt(of->constant[1]);
        }
        if (of->row_bias) {
            turn(of->row_bias + i, of->row_bias_sums + i, g, lr);
            turn(of->column_bias + j, of->column_bias_sums + j, g, lr);
        }
        if (u == v) {  // one word with itself
            float times = of->norm ? 8 * g : 2 * g;
            for (int32_t k = 0; k < width; k++) turn(u + k, us + k, times * u[k], lr);
            continue;
        }
#pragma GCC ivdep
        for (int32_t k = 0; k < width; k++) {
            float a = u[k], b = v[k];
            float ga = of->norm ? 2 * g * (a + b) : g * b, gb = of->norm ? ga : g * a;
            float sa = us[k] + ga * ga, sb = vs[k] + gb * gb;
            us[k] = sa, vs[k] = sb;
            u[k] = a - lr * ga / sqrtf(sa);
            v[k] = b - lr * gb / sqrtf(sb);
        }
    }
    return loss;
}
