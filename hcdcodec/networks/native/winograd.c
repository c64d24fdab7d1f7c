/* Residual 3x3 convolutions of CRN's trunks, by Winograd's F(4x4, 3x3), in vectors as wide as the processor has them.

       out = x + act(conv(x, weight) + bias)          act(v) = max(v, 0.2 v), zero padding

   A tile of 4x4 outputs sees 6x6 inputs. Both are transformed to 36 values, for each of which the convolution is a
   matrix product over channels: 36 / 16 = 2.25 multiplications an output sample instead of 9.

   Pictures are (b, h, w, c) float32, channels last. Transformed weights u are [36][out / 16][in][16], so that the inner
   loop reads them in order; channels are multiples of 16. Work is cut into blocks of tiles that stay in the cache;
   in convolutions threads take them as they get free, elsewhere each has a part of them.

   Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016 (points 0, 1, -1, 2, -2, inf). */

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ROWS * 2 sums stay in registers: 32 of 16 floats with AVX-512, 16 of 8 elsewhere. BLOCK is a multiple of ROWS. */
#ifdef __AVX512F__
enum { LANES = 16, ROWS = 12, SLOPE_ROWS = 8 };
#else
enum { LANES = 8, ROWS = 6, SLOPE_ROWS = 4 };
#endif
enum { PANEL = 16, BLOCK = 24, POINTS = 36, THREADS = 256, CHANNELS = 512 };

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef int mask __attribute__((vector_size(LANES * sizeof(int))));
typedef float loose __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

static inline vec get(const float *from) { return *(const loose *)from; }
static inline void put(float *to, vec v) { *(loose *)to = v; }
static inline vec all(float v) { return v - (vec){0}; }

typedef struct {
  const float *x, *u, *bias, *add; /* bias: NULL = none and no activation */
  float *out;
  long h, w, in, outs, rows, columns, tiles, first, last; /* rows, columns: tiles of one picture; first, last: blocks */
  long *next; /* block that nobody has taken yet, of those that anybody may take */
  int failed;
} Job;

/* One axis of the three transforms; d, m, y are read with one stride and o is written with another. */

static inline void transform_input(const vec *d, vec *o, int from, int to) {
  vec d0 = d[0], d1 = d[from], d2 = d[2 * from], d3 = d[3 * from], d4 = d[4 * from], d5 = d[5 * from];
  vec even = d4 - all(4) * d2, odd = d3 - all(4) * d1, near = d4 - d2, far = all(2) * (d3 - d1);
  o[0] = all(4) * d0 - all(5) * d2 + d4;
  o[to] = even + odd;
  o[2 * to] = even - odd;
  o[3 * to] = near + far;
  o[4 * to] = near - far;
  o[5 * to] = all(4) * d1 - all(5) * d3 + d5;
}

static inline void transform_output(const vec *m, vec *o, int from, int to) {
  vec p = m[from] + m[2 * from], q = m[from] - m[2 * from], r = m[3 * from] + m[4 * from],
      s = m[3 * from] - m[4 * from];
  o[0] = m[0] + p + r;
  o[to] = q + all(2) * s;
  o[2 * to] = p + all(4) * r;
  o[3 * to] = q + all(8) * s + m[5 * from];
}

static inline void transform_slope(const vec *y, vec *o, int from, int to) { /* the transpose of transform_output */
  vec y0 = y[0], y1 = y[from], y2 = y[2 * from], y3 = y[3 * from];
  vec even = y0 + y2, odd = y1 + y3, far_even = y0 + all(4) * y2, far_odd = all(2) * y1 + all(8) * y3;
  o[0] = y0;
  o[to] = even + odd;
  o[2 * to] = even - odd;
  o[3 * to] = far_even + far_odd;
  o[4 * to] = far_even - far_odd;
  o[5 * to] = y3;
}

typedef struct {
  long picture, top, left;
} Place;

static Place place_of(const Job *job, long tile) {
  long within = tile % (job->rows * job->columns);
  return (Place){tile / (job->rows * job->columns), within / job->columns * 4, within % job->columns * 4};
}

/* Transform `count` tiles from `start` on to v[36][BLOCK][in]; rows up to a multiple of ROWS are zero. */
static void gather(const Job *job, long start, int count, float *v) {
  static const float zeros[CHANNELS];
  for (int t = 0; t < count; t++) {
    Place at = place_of(job, start + t);
    const float *source[POINTS];
    for (int i = 0; i < POINTS; i++) {
      long y = at.top + i / 6 - 1, x = at.left + i % 6 - 1;
      int inside = y >= 0 && x >= 0 && y < job->h && x < job->w;
      source[i] = inside ? job->x + ((at.picture * job->h + y) * job->w + x) * job->in : zeros;
    }
    for (long c = 0; c < job->in; c += LANES) {
      vec rows[POINTS], both[POINTS];
      for (int i = 0; i < 6; i++) {
        vec line[6];
        for (int j = 0; j < 6; j++) line[j] = get(source[i * 6 + j] + c);
        transform_input(line, rows + i * 6, 1, 1);
      }
      for (int j = 0; j < 6; j++) transform_input(rows + j, both + j, 6, 6);
      for (int k = 0; k < POINTS; k++) put(v + (k * BLOCK + t) * job->in + c, both[k]);
    }
  }
  for (int t = count; t % ROWS; t++)
    for (int k = 0; k < POINTS; k++) memset(v + (k * BLOCK + t) * job->in, 0, job->in * sizeof *v);
}

/* m[k][t .. t + ROWS][o ..] = v u, for `wide` vectors of outputs. */
static inline __attribute__((always_inline)) void multiply_part(const Job *job, int k, long o, int t, int wide,
                                                                const float *v, float *m) {
  const float *left = v + (k * BLOCK + t) * job->in, *right[2];
  for (int i = 0; i < wide; i++) {
    long first = o + i * LANES;
    right[i] = job->u + (k * job->outs + first / PANEL * PANEL) * job->in + first % PANEL;
  }
  vec sums[ROWS][2] = {0};
  for (long c = 0; c < job->in; c++)
    for (int r = 0; r < ROWS; r++)
      for (int i = 0; i < wide; i++) sums[r][i] += all(left[r * job->in + c]) * get(right[i] + c * PANEL);
  for (int r = 0; r < ROWS; r++)
    for (int i = 0; i < wide; i++) put(m + (k * BLOCK + t + r) * job->outs + o + i * LANES, sums[r][i]);
}

/* m[36][BLOCK][outs] = v[36][BLOCK][in] u */
static void multiply(const Job *job, int count, const float *v, float *m) {
  for (int k = 0; k < POINTS; k++) {
    long o = 0;
    for (; o + 2 * LANES <= job->outs; o += 2 * LANES)
      for (int t = 0; t < count; t += ROWS) multiply_part(job, k, o, t, 2, v, m);
    if (o < job->outs)
      for (int t = 0; t < count; t += ROWS) multiply_part(job, k, o, t, 1, v, m);
  }
}

/* Transform m back, and write out = add + act(... + bias), or out = add + ... */
static void scatter(const Job *job, long start, int count, const float *m) {
  for (int t = 0; t < count; t++) {
    Place at = place_of(job, start + t);
    for (long c = 0; c < job->outs; c += LANES) {
      vec points[POINTS], columns[24], tile[16];
      for (int k = 0; k < POINTS; k++) points[k] = get(m + (k * BLOCK + t) * job->outs + c);
      for (int j = 0; j < 6; j++) transform_output(points + j, columns + j, 6, 6);
      for (int i = 0; i < 4; i++) transform_output(columns + i * 6, tile + i * 4, 1, 1);
      for (int i = 0; i < 16; i++) {
        long y = at.top + i / 4, x = at.left + i % 4, offset = ((at.picture * job->h + y) * job->w + x) * job->outs + c;
        if (y >= job->h || x >= job->w) continue;
        vec value = tile[i];
        if (job->bias) {
          value += get(job->bias + c);
          vec leaked = value * all(0.2f);
          mask larger = value > leaked;
          value = (vec)(((mask)value & larger) | ((mask)leaked & ~larger));
        }
        put(job->out + offset, get(job->add + offset) + value);
      }
    }
  }
}

static float *buffer(long floats) { return aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64); }

static long block_count(const Job *job) { return (job->tiles + BLOCK - 1) / BLOCK; }

static int block_size(const Job *job, long block) {
  long left = job->tiles - block * BLOCK;
  return left < BLOCK ? (int)left : BLOCK;
}

/* Blocks are taken one by one, not dealt: a thread whose core does other work takes fewer, and none waits for it. */
static void *convolve(void *argument) {
  Job *job = argument;
  float *v = buffer(POINTS * BLOCK * job->in), *m = buffer(POINTS * BLOCK * job->outs);
  long blocks = block_count(job), block;
  job->failed = !v || !m;
  while (!job->failed && (block = __atomic_fetch_add(job->next, 1, __ATOMIC_RELAXED)) < blocks) {
    int count = block_size(job, block);
    gather(job, block * BLOCK, count, v);
    multiply(job, count, v, m);
    scatter(job, block * BLOCK, count, m);
  }
  free(v);
  free(m);
  return NULL;
}

/* Transform the slopes of `count` tiles, which stand in `add`, to d[36][BLOCK][outs]. */
static void gather_slopes(const Job *job, long start, int count, float *d) {
  for (int t = 0; t < count; t++) {
    Place at = place_of(job, start + t);
    for (long c = 0; c < job->outs; c += LANES) {
      vec tile[16], columns[24], points[POINTS];
      for (int i = 0; i < 16; i++) {
        long y = at.top + i / 4, x = at.left + i % 4;
        int inside = y < job->h && x < job->w;
        tile[i] = inside ? get(job->add + ((at.picture * job->h + y) * job->w + x) * job->outs + c) : all(0);
      }
      for (int j = 0; j < 4; j++) transform_slope(tile + j, columns + j, 4, 4);
      for (int i = 0; i < 6; i++) transform_slope(columns + i * 4, points + i * 6, 1, 1);
      for (int k = 0; k < POINTS; k++) put(d + (k * BLOCK + t) * job->outs + c, points[k]);
    }
  }
}

/* out[k][c .. c + SLOPE_ROWS][o ..] += v' d, for `wide` vectors of outputs. */
static inline __attribute__((always_inline)) void multiply_slopes_part(const Job *job, int k, long o, long c, int wide,
                                                                       int count, const float *v, const float *d) {
  float *to = job->out + (k * job->in + c) * job->outs + o;
  vec sums[SLOPE_ROWS][2];
  for (int r = 0; r < SLOPE_ROWS; r++)
    for (int i = 0; i < wide; i++) sums[r][i] = get(to + r * job->outs + i * LANES);
  for (int t = 0; t < count; t++) {
    const float *left = v + (k * BLOCK + t) * job->in + c, *right = d + (k * BLOCK + t) * job->outs + o;
    for (int r = 0; r < SLOPE_ROWS; r++)
      for (int i = 0; i < wide; i++) sums[r][i] += all(left[r]) * get(right + i * LANES);
  }
  for (int r = 0; r < SLOPE_ROWS; r++)
    for (int i = 0; i < wide; i++) put(to + r * job->outs + i * LANES, sums[r][i]);
}

/* out[36][in][outs] += v' d */
static void multiply_slopes(const Job *job, int count, const float *v, const float *d) {
  for (int k = 0; k < POINTS; k++)
    for (long c = 0; c < job->in; c += SLOPE_ROWS) {
      long o = 0;
      for (; o + 2 * LANES <= job->outs; o += 2 * LANES) multiply_slopes_part(job, k, o, c, 2, count, v, d);
      if (o < job->outs) multiply_slopes_part(job, k, o, c, 1, count, v, d);
    }
}

static void *correlate(void *argument) {
  Job *job = argument;
  float *v = buffer(POINTS * BLOCK * job->in), *d = buffer(POINTS * BLOCK * job->outs);
  job->failed = !v || !d;
  for (long block = job->first; block < job->last && !job->failed; block++) {
    int count = block_size(job, block);
    gather(job, block * BLOCK, count, v);
    gather_slopes(job, block * BLOCK, count, d);
    multiply_slopes(job, count, v, d);
  }
  free(v);
  free(d);
  return NULL;
}

/* Back through the activation: out = add where u > x, 0.2 add elsewhere; a tile is a vector. */
static void *deactivate(void *argument) {
  Job *job = argument;
  for (long i = job->first * BLOCK; i < job->last * BLOCK && i < job->tiles; i++) {
    vec slope = get(job->add + i * LANES), leaked = slope * all(0.2f);
    mask passed = get(job->u + i * LANES) > get(job->x + i * LANES);
    put(job->out + i * LANES, (vec)(((mask)slope & passed) | ((mask)leaked & ~passed)));
  }
  return NULL;
}

/* Run `work` on all blocks, in parts; each part writes at `out` + number * `apart`. Return 0, or 1 without memory. */
static int divide(void *(*work)(void *), Job whole, int threads, long apart) {
  Job jobs[THREADS];
  pthread_t handles[THREADS];
  int started[THREADS], failed = 0;
  long blocks = block_count(&whole), next = 0;
  whole.next = &next;
  for (int i = 0; i < threads; i++) {
    jobs[i] = whole;
    jobs[i].first = blocks * i / threads;
    jobs[i].last = blocks * (i + 1) / threads;
    jobs[i].out += i * apart;
  }
  for (int i = 1; i < threads; i++) started[i] = !pthread_create(&handles[i], NULL, work, &jobs[i]);
  work(&jobs[0]);
  for (int i = 1; i < threads; i++) {
    if (started[i])
      pthread_join(handles[i], NULL);
    else
      work(&jobs[i]);
  }
  for (int i = 0; i < threads; i++) failed |= jobs[i].failed;
  return failed;
}

static Job job_of(long b, long h, long w, long in, long outs) {
  long rows = (h + 3) / 4, columns = (w + 3) / 4;
  return (Job){.h = h, .w = w, .in = in, .outs = outs, .rows = rows, .columns = columns, .tiles = b * rows * columns};
}

/* out (b, h, w, outs) = add + act(conv(x, u) + bias); without bias: add + conv(x, u). */
int convolution(const float *x, const float *u, const float *bias, const float *add, float *out, long b, long h, long w,
                long in, long outs, int threads) {
  Job job = job_of(b, h, w, in, outs);
  job.x = x, job.u = u, job.bias = bias, job.add = add, job.out = out;
  return divide(convolve, job, threads, 0);
}

/* out [threads][36][in][outs], zero before: parts of the gradient by u, given the slopes (b, h, w, outs) of conv. */
int weight_gradient(const float *x, const float *slopes, float *out, long b, long h, long w, long in, long outs,
                    int threads) {
  Job job = job_of(b, h, w, in, outs);
  job.x = x, job.add = slopes, job.out = out;
  return divide(correlate, job, threads, POINTS * in * outs);
}

/* out [count] = the slopes by what a residual step activated, given those by what it added: from `before` to `after`. */
int activation_gradient(const float *before, const float *after, const float *slopes, float *out, long count,
                        int threads) {
  Job job = {.x = before, .u = after, .add = slopes, .out = out, .tiles = count / LANES};
  return divide(deactivate, job, threads, 0);
}
