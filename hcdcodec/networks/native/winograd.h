/* What winograd.c computes; Python (library.py) and the sanitizers' driver fill these in.

   Pictures are (b, h, w, c) float32, channels last; channels are multiples of 16. `half`: products in bfloat16, sums in
   float32; level avx512bf16 only. Memory is the caller's, nothing is kept between calls and no call fails. */

#ifndef WINOGRAD_H
#define WINOGRAD_H

/* BLOCK: tiles that a thread takes at once; CHUNK: those whose transforms are kept for gradients by weights. Planes of the
   36 points stand a LINE of the cache apart from round numbers, or all would fall on few of its sets. */
enum { POINTS = 36, PANEL = 16, CHANNELS = 512, THREADS = 256, CONVOLUTIONS = 64, BLOCK = 24, CHUNK = 16 * BLOCK, LINE = 16 };

/* out = [add +] act(conv(leak(x), weight) [+ bias]), act and leak as asked, zero padding */
typedef struct {
  const float *x;
  const unsigned char *leaks; /* a bit a sample of x: 0 = multiply it by 0.2 first; NULL = nothing is multiplied */
  const float *u;             /* transformed weights [36][outs / 16][in][16]; half: [36][outs / 16][in / 2][16][2] */
  const float *bias, *add;    /* [outs] and like out; NULL = none */
  float *out;
  unsigned char *signs; /* a bit a sample of out: whether what was activated is above zero; NULL = not wanted */
  void *scratch;        /* of all threads, convolve_scratch bytes each, at a multiple of 64 */
  long b, h, w, in, outs;
  int activates, half; /* act(v) = max(v, 0.2 v), or v */
} Convolution;

/* Gradients of conv(x, weight) + bias, given those by its output, which go through `leaks` first. */
typedef struct {
  const float *x, *slopes;
  const unsigned char *leaks; /* as above, of slopes */
  float *by_weight;           /* [3][3][in][outs] */
  float *by_bias;             /* [outs] */
  void *scratch;              /* correlate_scratch bytes, at a multiple of 64 */
  long b, h, w, in, outs;
  int half;
} Correlation;

long convolve_scratch(long in, long outs);
long correlate_scratch(long b, long h, long w, long in, long outs);

/* One of each level, such as convolve_avx2. Convolutions are computed one after the other: each may read what came out of
   those before it. `threads`: 1 to THREADS. */
typedef void Convolve(const Convolution *each, int count, int threads);
typedef void Correlate(const Correlation *, int threads);

#endif
