/* Tables for drawing in proportion to weights in constant time: Walker, 1977; built as by Vose, 1991. Used by alias.py. */

#include <stdint.h>
#include <stdlib.h>

/* For each row r the entries starts[r] to starts[r + 1]: a drawn entry stays itself with chance keep[i], else it becomes other[i].

   `other` counts from the row's first entry. 0, or 1 where memory is short. */
int alias_build(const float *weights, const int64_t *starts, int64_t rows, float *keep, int32_t *other) {
    int64_t longest = 0;
    for (int64_t r = 0; r < rows; r++)
        if (starts[r + 1] - starts[r] > longest) longest = starts[r + 1] - starts[r];
    double *scaled = malloc(sizeof(double) * (longest + 1));
    int32_t *stack = malloc(sizeof(int32_t) * (longest + 1)); /* below the mean from the left, the others from the right */
    if (!scaled || !stack) {
        free(scaled), free(stack);
        return 1;
    }
    for (int64_t r = 0; r < rows; r++) {
        int64_t n = starts[r + 1] - starts[r], small = 0, large = n;
        const float *w = weights + starts[r];
        float *p = keep + starts[r];
        int32_t *a = other + starts[r];
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += w[i];
        for (int64_t i = 0; i < n; i++) {
            scaled[i] = w[i] * (double)n / sum;
            if (scaled[i] < 1) stack[small++] = (int32_t)i;
            else stack[--large] = (int32_t)i;
        }
        while (small > 0 && large < n) {
            int32_t low = stack[--small], high = stack[large];
            p[low] = (float)scaled[low], a[low] = high;
            scaled[high] -= 1 - scaled[low];
            if (scaled[high] < 1) large++, stack[small++] = high;
        }
        while (small > 0) p[stack[--small]] = 1, a[stack[small]] = stack[small]; /* by rounding alone */
        for (; large < n; large++) p[stack[large]] = 1, a[stack[large]] = stack[large];
    }
    free(scaled), free(stack);
    return 0;
}
