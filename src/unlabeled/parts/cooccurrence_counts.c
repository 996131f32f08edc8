// How often words stand near each other, in bounded memory. Used by cooccurrence_counts.py.
//
// Each pair of places is counted once, under (smaller, larger) word: pairs of frequent words in a square, all others in a hash table that
// grows up to a size and then says so; the caller takes what is there, as cells in order, and goes on.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EMPTY UINT64_MAX

typedef struct {
    uint64_t key;
    double value;
} Cell;

typedef struct {
    Cell *cells;
    double *square;
    int64_t slots, used, alone, most, top;  // alone: pairs of a word with itself
    int bits;
} Counter;

static Cell *empty(int64_t slots) {
    Cell *cells = malloc(sizeof(Cell) * (size_t)slots);
    for (int64_t i = 0; cells && i < slots; i++) cells[i].key = EMPTY;
    return cells;
}

static inline Cell *place(const Counter *of, uint64_t key) {
    uint64_t at = key * 0x9E3779B97F4A7C15ULL >> (64 - of->bits);
    while (of->cells[at].key != key && of->cells[at].key != EMPTY) at = (at + 1) & (uint64_t)(of->slots - 1);
    return of->cells + at;
}

static int grow(Counter *of) {
    Cell *old = of->cells;
    int64_t slots = of->slots;
    Cell *fresh = empty(2 * slots);
    if (!fresh) return -1;
    of->cells = fresh, of->slots = 2 * slots, of->bits++;
    for (int64_t i = 0; i < slots; i++)
        if (old[i].key != EMPTY) *place(of, old[i].key) = old[i];
    free(old);
    return 0;
}

void counts_free(Counter *of) {
    if (of) free(of->cells), free(of->square), free(of);
}

// top: words 0 to top - 1 are counted in the square. most: different pairs held in the table, at most.
Counter *counts_new(int64_t top, int64_t most) {
    Counter *of = calloc(1, sizeof(Counter));
    if (!of) return NULL;
    of->bits = 16, of->slots = 1 << 16, of->most = most, of->top = top;
    of->cells = empty(of->slots);
    of->square = calloc((size_t)(top * top), sizeof(double));
    if (!of->cells || !of->square) {
        counts_free(of);
        return NULL;
    }
    return of;
}

// Count from text at[0], word at[1] of it on. 0: all texts are counted; 1: the table is full; -1: no memory. `at` says where it stopped.
int counts_add(Counter *of, const int32_t *tokens, const int64_t *starts, int64_t texts, int64_t *at, int64_t window, int flat) {
    for (; at[0] < texts; at[0]++, at[1] = 0) {
        const int32_t *words = tokens + starts[at[0]];
        int64_t length = starts[at[0] + 1] - starts[at[0]];
        for (; at[1] < length; at[1]++) {
            if (of->used + window > of->most) return 1;
            while (10 * (of->used + window) > 7 * of->slots)
                if (grow(of)) return -1;
            int64_t left = words[at[1]], reach = length - at[1] - 1;
            if (reach > window) reach = window;
            for (int64_t d = 1; d <= reach; d++) {
                int64_t right = words[at[1] + d];
                int64_t low = left < right ? left : right, high = left < right ? right : left;
                double weight = flat ? 1.0 : 1.0 / (double)d;
                if (high < of->top) {
                    of->square[low * of->top + high] += weight;
                    continue;
                }
                uint64_t key = (uint64_t)low << 32 | (uint64_t)high;
                Cell *cell = place(of, key);
                if (cell->key == EMPTY) cell->key = key, cell->value = 0, of->used++, of->alone += low == high;
                cell->value += weight;
            }
        }
    }
    return 0;
}

// Cells there are, (a, b) and (b, a) both.
int64_t counts_size(const Counter *of) {
    int64_t n = 2 * of->used - of->alone;
    for (int64_t i = 0; i < of->top * of->top; i++) n += of->square[i] > 0 ? 1 + (i / of->top != i % of->top) : 0;
    return n;
}

static inline Cell *put(Cell *out, int64_t a, int64_t b, double value, int64_t parts, int64_t size) {
    // Words a with the same a % parts share a shard: each has frequent and rare ones.
    out->key = (uint64_t)((((a % parts) * parts + b % parts) * size + a / parts) * size + b / parts);
    out->value = value;
    return out + 1;
}

static inline Cell *both(Cell *out, int64_t low, int64_t high, double value, int64_t parts, int64_t size) {
    if (low == high) return put(out, low, low, 2 * value, parts, size);
    out = put(out, low, high, value, parts, size);
    return put(out, high, low, value, parts, size);
}

// Write the cells to `one`, by shard, row and column, and begin anew. other: room for as many. Returns where they are, 0: one, 1: other.
int counts_take(Counter *of, Cell *one, Cell *other, int64_t parts, int64_t size) {
    Cell *end = one;
    for (int64_t a = 0; a < of->top; a++)
        for (int64_t b = a; b < of->top; b++)
            if (of->square[a * of->top + b] > 0) end = both(end, a, b, of->square[a * of->top + b], parts, size);
    for (int64_t i = 0; i < of->slots; i++) {
        Cell *cell = of->cells + i;
        if (cell->key == EMPTY) continue;
        end = both(end, (int64_t)(cell->key >> 32), (int64_t)(cell->key & 0xFFFFFFFF), cell->value, parts, size);
        cell->key = EMPTY;
    }
    memset(of->square, 0, sizeof(double) * (size_t)(of->top * of->top));
    of->used = of->alone = 0;
    int64_t n = end - one;
    uint64_t largest = (uint64_t)(parts * parts * size * size - 1);
    int turn = 0;
    for (int shift = 0; shift < 64 && largest >> shift; shift += 11, turn = !turn) {  // by 11 bits at a time, the lowest first
        int64_t count[2049] = {0};
        for (int64_t i = 0; i < n; i++) count[(one[i].key >> shift & 2047) + 1]++;
        for (int i = 0; i < 2048; i++) count[i + 1] += count[i];
        for (int64_t i = 0; i < n; i++) other[count[one[i].key >> shift & 2047]++] = one[i];
        Cell *swap = one;
        one = other, other = swap;
    }
    return turn;
}
