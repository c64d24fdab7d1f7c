/* Random calls of the kernel, for sanitizers: convolutions one after the other, and gradients by weights. Each is computed
   by one thread and by several, which must give the same bytes. Arguments: how many calls, and the seed. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "winograd.h"

#define LEVELS(each) each(avx2, 0) each(avx512, 0) each(avx512bf16, 1)
#define DECLARE(level, half) \
  int supports_##level(void); \
  Convolve convolve_##level; \
  Correlate correlate_##level;
LEVELS(DECLARE)

typedef struct {
  const char *name;
  int (*supports)(void);
  Convolve *convolve;
  Correlate *correlate;
  int halves;
} Level;
#define ROW(level, half) {#level, supports_##level, convolve_##level, correlate_##level, half},
static const Level levels[] = {LEVELS(ROW)};

static uint64_t state;

static long draw(long from, long to) { /* both may come */
  state = state * 6364136223846793005u + 1442695040888963407u;
  return from + (long)(state >> 33) % (to - from + 1);
}

/* Exactly as many bytes as asked for, at a multiple of 64, so that every byte beyond is noticed. */
static void *take(long bytes) {
  void *made = NULL;
  if (posix_memalign(&made, 64, bytes ? bytes : 1)) exit(2);
  return made;
}

static float *numbers(long count) {
  float *made = take(count * sizeof(float));
  for (long i = 0; i < count; i++) made[i] = (float)draw(-1000, 1000) / 1000;
  return made;
}

static unsigned char *bits(long count) {
  unsigned char *made = take(count / 8);
  for (long i = 0; i < count / 8; i++) made[i] = (unsigned char)draw(0, 255);
  return made;
}

/* Words of two small bfloat16. */
static float *halves(long words) {
  uint32_t *made = take(words * sizeof(float));
  for (long i = 0; i < words; i++) made[i] = 0x3c003c00u | (uint32_t)draw(0, 0x1ff) | (uint32_t)draw(0, 0x1ff) << 16;
  return (float *)made;
}

static void check(const char *what, const Level *level, const void *a, const void *b, long bytes) {
  if (!memcmp(a, b, bytes)) return;
  printf("%s of %s depends on threads\n", what, level->name);
  exit(1);
}

static void convolve(const Level *level, int half) {
  enum { DEPTH = 3 };
  long b = draw(1, 3), h = draw(1, 30), w = draw(1, 30), width = 16 * draw(1, 6), in = 16 * draw(1, 4), outs = 16 * draw(1, 4);
  int threads = (int)draw(2, 5);
  long px = b * h * w, sizes[DEPTH + 1] = {in, width, width, outs};
  float *x = numbers(px * in), *made[2][DEPTH], *u[DEPTH], *bias[DEPTH];
  unsigned char *leaks = draw(0, 1) ? bits(px * in) : NULL, *signs[2][DEPTH] = {{0}};
  for (int i = 0; i < DEPTH; i++) {
    long words = POINTS * sizes[i] * sizes[i + 1];
    u[i] = half ? halves(words / 2) : numbers(words);
    bias[i] = draw(0, 3) ? numbers(sizes[i + 1]) : NULL;
  }
  int keeps = (int)draw(0, 1);
  for (int run = 0; run < 2; run++) {
    Convolution each[DEPTH];
    int count = run ? threads : 1;
    long most = 0;
    for (int i = 0; i < DEPTH; i++) {
      long need = convolve_scratch(sizes[i], sizes[i + 1]);
      most = need > most ? need : most;
    }
    void *scratch = take(count * most);
    for (int i = 0; i < DEPTH; i++) {
      made[run][i] = take(px * sizes[i + 1] * sizeof(float));
      if (keeps) signs[run][i] = take(px * sizes[i + 1] / 8);
      each[i] = (Convolution){.x = i ? made[run][i - 1] : x, .leaks = i ? NULL : leaks, .u = u[i], .bias = bias[i],
                              .add = i == 1 ? made[run][0] : NULL, .out = made[run][i], .signs = signs[run][i],
                              .scratch = scratch, .b = b, .h = h, .w = w, .in = sizes[i], .outs = sizes[i + 1],
                              .activates = i < 2, .half = half};
    }
    level->convolve(each, DEPTH, count);
    free(scratch);
  }
  for (int i = 0; i < DEPTH; i++) {
    check("convolution", level, made[0][i], made[1][i], px * sizes[i + 1] * (long)sizeof(float));
    if (keeps) check("signs", level, signs[0][i], signs[1][i], px * sizes[i + 1] / 8);
    for (int run = 0; run < 2; run++) free(made[run][i]), free(signs[run][i]);
    free(u[i]), free(bias[i]);
  }
  free(x), free(leaks);
}

static void correlate(const Level *level, int half) {
  long b = draw(1, 6), h = draw(1, 40), w = draw(1, 40), in = 16 * draw(1, 6), outs = 16 * draw(1, 6), px = b * h * w;
  float *x = numbers(px * in), *slopes = numbers(px * outs), *by_weight[2], *by_bias[2];
  unsigned char *leaks = draw(0, 1) ? bits(px * outs) : NULL;
  for (int run = 0; run < 2; run++) {
    void *scratch = take(correlate_scratch(b, h, w, in, outs));
    by_weight[run] = take(9 * in * outs * sizeof(float)), by_bias[run] = take(outs * sizeof(float));
    Correlation of = {x, slopes, leaks, by_weight[run], by_bias[run], scratch, b, h, w, in, outs, half};
    level->correlate(&of, run ? (int)draw(2, 5) : 1);
    free(scratch);
  }
  check("gradient by weights", level, by_weight[0], by_weight[1], 9 * in * outs * (long)sizeof(float));
  check("gradient by biases", level, by_bias[0], by_bias[1], outs * (long)sizeof(float));
  for (int run = 0; run < 2; run++) free(by_weight[run]), free(by_bias[run]);
  free(x), free(slopes), free(leaks);
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++) {
    if (!levels[i].supports()) continue;
    state = (uint64_t)atol(arguments[2]);
    for (long call = 0; call < atol(arguments[1]); call++)
      for (int half = 0; half <= levels[i].halves; half++) convolve(&levels[i], half), correlate(&levels[i], half);
    printf("%s\n", levels[i].name);
  }
  return 0;
}
