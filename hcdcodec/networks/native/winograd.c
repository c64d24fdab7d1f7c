/* 3x3 convolutions by Winograd's F(4x4, 3x3), and their gradients. Compiled once a level of processors.

   A tile of 4x4 outputs sees 6x6 inputs. Both are transformed to 36 values, for each of which the convolution is a
   matrix product over channels: 36 / 16 = 2.25 multiplications an output sample instead of 9.

   The transforms evaluate polynomials at the points 0, a, -a, b, -b and infinity. In float32 a = 1, b = 2 need the
   fewest operations. In bfloat16 a = 2/3, b = 4/3 halve the error: powers of the points stay near 1, so that sums lose
   less. All six lines of a transform follow from the polynomials: with N the product of (p - q) over the other points
   q, outputs take p^j, weights p^j / N, and inputs the coefficients of the product of (x - q).

   Matrices are read in words of four bytes: a float32, or two bfloat16 that one instruction multiplies and adds. Work is
   cut into blocks of tiles that stay in the cache; threads take them as they get free. Which thread takes a block changes
   no sum, so results are the same for any number of threads.

   Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016; points as in Barabasz et al.,
   Error Analysis and Improving the Accuracy of Winograd Convolution, 2018. */

#include "winograd.h"

#include <immintrin.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

/* ROWS * 2 sums stay in registers: 32 of 16 floats with AVX-512, 16 of 8 elsewhere. BLOCK is a multiple of ROWS. */
#ifdef __AVX512F__
enum { LANES = 16, ROWS = 12, SLOPE_ROWS = 8 };
#else
enum { LANES = 8, ROWS = 6, SLOPE_ROWS = 4 };
#endif

#define JOIN(a, b) a##_##b
#define NAME(a, b) JOIN(a, b)
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef int mask __attribute__((vector_size(LANES * sizeof(int))));
typedef float loose __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

INLINE vec get(const float *from) { return *(const loose *)from; }
INLINE void put(float *to, vec v) { *(loose *)to = v; }
INLINE vec all(float v) { return v - (vec){0}; }

/* Multiply by 0.2 where bits are 0. */
INLINE vec leak(vec v, const unsigned char *bits) {
#ifdef __AVX512F__
  unsigned short lanes;
  memcpy(&lanes, bits, sizeof lanes);
  return _mm512_mask_mul_ps(v, (__mmask16)~lanes, v, all(0.2f));
#else
  const __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  __m256i kept = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(*bits), each), each);
  return v * _mm256_blendv_ps(all(0.2f), all(1), _mm256_castsi256_ps(kept));
#endif
}

INLINE vec activate(vec v) {
#ifdef __AVX512F__
  return _mm512_max_ps(v, v * all(0.2f));
#else
  return _mm256_max_ps(v, v * all(0.2f));
#endif
}

/* Write a bit for each lane: whether it is above zero. */
INLINE void put_signs(unsigned char *to, vec v) {
#ifdef __AVX512F__
  unsigned short lanes = _mm512_cmp_ps_mask(v, all(0), _CMP_GT_OQ);
  memcpy(to, &lanes, sizeof lanes);
#else
  *to = (unsigned char)_mm256_movemask_ps(_mm256_cmp_ps(v, all(0), _CMP_GT_OQ));
#endif
}

/* Add the product of one word with words side by side. */
INLINE vec add_product(vec sum, const float *word, const float *words, int half) {
#ifdef __AVX512BF16__
  if (half) return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_ps(*word), (__m512bh)_mm512_loadu_ps(words));
#endif
  (void)half;
  return sum + all(*word) * get(words);
}

/* Write the values of LANES channels as words of two channels each. */
INLINE void put_channels(float *to, vec v, int half) {
#ifdef __AVX512BF16__
  if (half) {
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(v));
    return;
  }
#endif
  (void)half;
  put(to, v);
}

/* Write the values of two tiles as words of one channel each. */
INLINE void put_tiles(float *to, vec first, vec second) {
#ifdef __AVX512BF16__
  __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(first));
  __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(second));
  _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
#else
  (void)to, (void)first, (void)second;
#endif
}

/* One axis of the transforms; d, m, y are read with one stride and o is written with another. */

INLINE void transform_input(const vec *d, vec *o, int from, int to, float a, float b) {
  vec d0 = d[0], d1 = d[from], d2 = d[2 * from], d3 = d[3 * from], d4 = d[4 * from], d5 = d[5 * from];
  vec even = d4 - all(b * b) * d2, odd = all(a) * (d3 - all(b * b) * d1);
  vec far_even = d4 - all(a * a) * d2, far_odd = all(b) * (d3 - all(a * a) * d1);
  o[0] = all(a * a * b * b) * d0 - all(a * a + b * b) * d2 + d4;
  o[to] = even + odd;
  o[2 * to] = even - odd;
  o[3 * to] = far_even + far_odd;
  o[4 * to] = far_even - far_odd;
  o[5 * to] = all(a * a * b * b) * d1 - all(a * a + b * b) * d3 + d5;
}

INLINE void transform_output(const vec *m, vec *o, int from, int to, float a, float b) {
  vec p = m[from] + m[2 * from], q = m[from] - m[2 * from], r = m[3 * from] + m[4 * from],
      s = m[3 * from] - m[4 * from];
  o[0] = m[0] + p + r;
  o[to] = all(a) * q + all(b) * s;
  o[2 * to] = all(a * a) * p + all(b * b) * r;
  o[3 * to] = all(a * a * a) * q + all(b * b * b) * s + m[5 * from];
}

INLINE void transform_slope(const vec *y, vec *o, int from, int to, float a, float b) { /* transform_output's transpose */
  vec y0 = y[0], y1 = y[from], y2 = y[2 * from], y3 = y[3 * from];
  vec even = y0 + all(a * a) * y2, odd = all(a) * y1 + all(a * a * a) * y3;
  vec far_even = y0 + all(b * b) * y2, far_odd = all(b) * y1 + all(b * b * b) * y3;
  o[0] = y0;
  o[to] = even + odd;
  o[2 * to] = even - odd;
  o[3 * to] = far_even + far_odd;
  o[4 * to] = far_even - far_odd;
  o[5 * to] = y3;
}

INLINE void transform_sums(const vec *m, vec *o, int from, int to, float a, float b) { /* the transpose of weights' */
  float zero = 1 / (a * a * b * b), near = 1 / (2 * a * a * (a * a - b * b)), far = 1 / (2 * b * b * (b * b - a * a));
  vec p = all(near) * (m[from] + m[2 * from]), q = all(near * a) * (m[from] - m[2 * from]);
  vec r = all(far) * (m[3 * from] + m[4 * from]), s = all(far * b) * (m[3 * from] - m[4 * from]);
  o[0] = all(zero) * m[0] + p + r;
  o[to] = q + s;
  o[2 * to] = all(a * a) * p + all(b * b) * r + m[5 * from];
}

INLINE float near_point(int half) { return half ? 2 / 3.f : 1; }
INLINE float far_point(int half) { return half ? 4 / 3.f : 2; }

typedef struct {
  const float *samples;
  const unsigned char *leaks;
  long b, h, w, channels, rows, columns; /* rows, columns: tiles of one picture */
} Picture;

static Picture picture_of(const float *samples, const unsigned char *leaks, long b, long h, long w, long channels) {
  return (Picture){samples, leaks, b, h, w, channels, (h + 3) / 4, (w + 3) / 4};
}

static long tile_count(const Picture *of) { return of->b * of->rows * of->columns; }

/* Where the samples of a window of a tile stand; those outside are in `zeros`. */
typedef struct {
  const float *samples[POINTS];
  const unsigned char *leaks[POINTS];
} Window;

static const float zeros[CHANNELS];

/* Write the offsets of the pixels of a window, `side` wide, that begins `margin` before a tile; -1 outside. */
INLINE void find(const Picture *of, long tile, int side, int margin, long *offsets) {
  long within = tile % (of->rows * of->columns), picture = tile / (of->rows * of->columns);
  long top = within / of->columns * 4 - margin, left = within % of->columns * 4 - margin;
  for (int i = 0; i < side * side; i++) {
    long y = top + i / side, x = left + i % side;
    int inside = y >= 0 && x >= 0 && y < of->h && x < of->w;
    offsets[i] = inside ? ((picture * of->h + y) * of->w + x) * of->channels : -1;
  }
}

INLINE void look(const Picture *of, long tile, int side, int margin, Window *window) {
  long offsets[POINTS];
  find(of, tile, side, margin, offsets);
  for (int i = 0; i < side * side; i++) {
    window->samples[i] = offsets[i] < 0 ? zeros : of->samples + offsets[i];
    window->leaks[i] = offsets[i] < 0 || !of->leaks ? (const unsigned char *)zeros : of->leaks + offsets[i] / 8;
  }
}

INLINE vec sample(const Window *window, int i, long c, int leaks) {
  vec v = get(window->samples[i] + c);
  return leaks ? leak(v, window->leaks[i] + c / 8) : v;
}

/* rows[6][6] of LANES channels: the 6x6 inputs of a tile, transformed along x */
INLINE void transform_rows(const Window *window, long c, int leaks, int half, vec *rows) {
  for (int i = 0; i < 6; i++) {
    vec line[6];
    for (int j = 0; j < 6; j++) line[j] = sample(window, i * 6 + j, c, leaks);
    transform_input(line, rows + i * 6, 1, 1, near_point(half), far_point(half));
  }
}

/* points[36] of LANES channels from the 6x6 inputs of a tile */
INLINE void transform_inputs(const Window *window, long c, int leaks, int half, vec *points) {
  vec rows[POINTS];
  transform_rows(window, c, leaks, half, rows);
  for (int j = 0; j < 6; j++) transform_input(rows + j, points + j, 6, 6, near_point(half), far_point(half));
}

/* points[36] of LANES channels from the 4x4 slopes of a tile; return their sum */
INLINE vec transform_slopes(const Window *window, long c, int leaks, int half, vec *points) {
  vec tile[16], columns[24], sum = {0};
  for (int i = 0; i < 16; i++) sum += tile[i] = sample(window, i, c, leaks);
  for (int j = 0; j < 4; j++) transform_slope(tile + j, columns + j, 4, 4, near_point(half), far_point(half));
  for (int i = 0; i < 6; i++) transform_slope(columns + i * 4, points + i * 6, 1, 1, near_point(half), far_point(half));
  return sum;
}

typedef struct Job Job;
struct Job {
  const Convolution *convolution;
  const Correlation *correlation;
  Picture x, slopes;
  void (*work)(const Job *, long, char *);
  char *scratch;
  long items, apart, first, tiles, v_plane, m_plane; /* apart: bytes of scratch a thread has for itself */
  long next, done;                                   /* item that nobody has taken yet; items that are ready */
};

typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t ready;
} Gate;

typedef struct {
  Job *jobs;
  int count, number;
  Gate *gate;
} Worker;

static int is_ready(Job *job) { return __atomic_load_n(&job->done, __ATOMIC_ACQUIRE) >= job->items; }

/* Wait until all items of a job are ready: for some microseconds awake, then asleep, since cores may have other work. */
static void await(Job *job, Gate *gate) {
  for (int i = 0; i < 1000 && !is_ready(job); i++) _mm_pause();
  if (is_ready(job)) return;
  pthread_mutex_lock(&gate->lock);
  while (!is_ready(job)) pthread_cond_wait(&gate->ready, &gate->lock);
  pthread_mutex_unlock(&gate->lock);
}

static void finish_item(Job *job, Gate *gate) {
  if (__atomic_add_fetch(&job->done, 1, __ATOMIC_ACQ_REL) < job->items) return;
  pthread_mutex_lock(&gate->lock);
  pthread_cond_broadcast(&gate->ready);
  pthread_mutex_unlock(&gate->lock);
}

/* Work on all jobs, one after the other; the next begins when all items of this one are ready. */
static void *take(void *argument) {
  const Worker *worker = argument;
  for (Job *job = worker->jobs; job < worker->jobs + worker->count; job++) {
    for (long item; (item = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < job->items;) {
      job->work(job, item, job->scratch + worker->number * job->apart);
      finish_item(job, worker->gate);
    }
    await(job, worker->gate);
  }
  return NULL;
}

/* Do all jobs. Items are taken one by one, not dealt: a thread whose core does other work takes fewer. */
static void divide(Job *jobs, int count, int threads) {
  Worker workers[THREADS];
  pthread_t handles[THREADS];
  Gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
  int started = 1;
  for (int i = 0; i < threads; i++) workers[i] = (Worker){jobs, count, i, &gate};
  while (started < threads && !pthread_create(&handles[started], NULL, take, &workers[started])) started++;
  take(&workers[0]);
  while (started > 1) pthread_join(handles[--started], NULL);
}

static int block_size(long tiles, long block) {
  long left = tiles - block * BLOCK;
  return left < BLOCK ? (int)left : BLOCK;
}

/* Transform `count` tiles from `start` on to v[36][BLOCK][in]; rows up to a multiple of ROWS are zero. */
INLINE void gather(const Job *job, long start, int count, float *v, int leaks, int half) {
  const long in = job->x.channels, words = half ? in / 2 : in, plane = job->v_plane;
  for (int t = 0; t < count; t++) {
    Window window;
    look(&job->x, start + t, 6, 1, &window);
    for (long c = 0; c < in; c += LANES) {
      vec rows[POINTS];
      transform_rows(&window, c, leaks, half, rows);
      float *to = v + t * words + (half ? c / 2 : c);
      for (int j = 0; j < 6; j++) {
        vec column[6];
        transform_input(rows + j, column, 6, 1, near_point(half), far_point(half));
        for (int i = 0; i < 6; i++) put_channels(to + (i * 6 + j) * plane, column[i], half);
      }
    }
  }
  for (int t = count; t % ROWS; t++)
    for (int k = 0; k < POINTS; k++) memset(v + k * job->v_plane + t * words, 0, words * sizeof *v);
}

/* m[k][t .. t + ROWS][o ..] = v u, for `wide` vectors of outputs. */
INLINE void multiply_part(const Job *job, int k, long o, int t, int wide, const float *v, float *m, int half) {
  long outs = job->convolution->outs, words = half ? job->x.channels / 2 : job->x.channels;
  const float *left = v + k * job->v_plane + t * words, *right[2];
  for (int i = 0; i < wide; i++) {
    long first = o + i * LANES;
    right[i] = job->convolution->u + (k * outs + first / PANEL * PANEL) * words + first % PANEL;
  }
  vec sums[ROWS][2] = {0};
  for (long c = 0; c < words; c++)
    for (int r = 0; r < ROWS; r++)
      for (int i = 0; i < wide; i++)
        sums[r][i] = add_product(sums[r][i], left + r * words + c, right[i] + c * PANEL, half);
  for (int r = 0; r < ROWS; r++)
    for (int i = 0; i < wide; i++) put(m + k * job->m_plane + (t + r) * outs + o + i * LANES, sums[r][i]);
}

/* m[36][BLOCK][outs] = v[36][BLOCK][in] u */
INLINE void multiply(const Job *job, int count, const float *v, float *m, int half) {
  long outs = job->convolution->outs;
  for (int k = 0; k < POINTS; k++) {
    long o = 0;
    for (; o + 2 * LANES <= outs; o += 2 * LANES)
      for (int t = 0; t < count; t += ROWS) multiply_part(job, k, o, t, 2, v, m, half);
    if (o < outs)
      for (int t = 0; t < count; t += ROWS) multiply_part(job, k, o, t, 1, v, m, half);
  }
}


/* Transform m back, finish and write. */
INLINE void scatter(const Job *job, long start, int count, const float *m, int half) {
  const Convolution to = *job->convolution; /* a copy: what is written to `out` cannot change it */
  const long plane = job->m_plane;
  Picture out = job->x;
  out.channels = to.outs;
  for (int t = 0; t < count; t++, m += to.outs) {
    long offsets[16];
    find(&out, start + t, 4, 0, offsets);
    for (long c = 0; c < to.outs; c += LANES) {
      vec columns[24], bias = to.bias ? get(to.bias + c) : all(0);
      for (int j = 0; j < 6; j++) {
        vec line[6];
        for (int i = 0; i < 6; i++) line[i] = get(m + (i * 6 + j) * plane + c);
        transform_output(line, columns + j, 1, 6, near_point(half), far_point(half));
      }
      for (int i = 0; i < 4; i++) {
        vec row[4];
        transform_output(columns + i * 6, row, 1, 1, near_point(half), far_point(half));
        for (int j = 0; j < 4; j++) {
          long offset = offsets[i * 4 + j] + c;
          if (offset < c) continue;
          vec value = row[j] + bias;
          if (to.signs) put_signs(to.signs + offset / 8, value);
          if (to.activates) value = activate(value);
          if (to.add) value += get(to.add + offset);
          put(to.out + offset, value);
        }
      }
    }
  }
}

INLINE void convolve_block(const Job *job, long block, char *scratch, int half) {
  float *v = (float *)scratch, *m = v + POINTS * (BLOCK * job->x.channels + LINE);
  int count = block_size(job->tiles, block);
  if (job->x.leaks)
    gather(job, block * BLOCK, count, v, 1, half);
  else
    gather(job, block * BLOCK, count, v, 0, half);
  multiply(job, count, v, m, half);
  scatter(job, block * BLOCK, count, m, half);
}

static void convolve_float(const Job *job, long block, char *scratch) { convolve_block(job, block, scratch, 0); }
static void convolve_half(const Job *job, long block, char *scratch) { convolve_block(job, block, scratch, 1); }

static Job convolution_job(const Convolution *of) {
  Job job = {.convolution = of, .x = picture_of(of->x, of->leaks, of->b, of->h, of->w, of->in), .scratch = of->scratch};
  job.work = of->half ? convolve_half : convolve_float;
  job.tiles = tile_count(&job.x);
  job.items = (job.tiles + BLOCK - 1) / BLOCK;
  job.v_plane = BLOCK * (of->half ? of->in / 2 : of->in) + LINE;
  job.m_plane = BLOCK * of->outs + LINE;
  job.apart = convolve_scratch(of->in, of->outs);
  return job;
}

void NAME(convolve, LEVEL)(const Convolution *each, int count, int threads) {
  Job jobs[CONVOLUTIONS];
  for (int i = 0; i < count; i++) jobs[i] = convolution_job(each + i);
  divide(jobs, count, threads);
}

/* Gradients by weights. First, of a chunk's blocks, v[36][tiles][in], m[36][tiles][outs], sums[blocks][outs]. */

INLINE void put_points(float *to, long plane, const vec *first, const vec *second, int half) {
  for (int k = 0; k < POINTS; k++) {
    if (half)
      put_tiles(to + k * plane, first[k], second[k]);
    else
      put(to + k * plane, first[k]);
  }
}

INLINE void gather_pairs(const Job *job, long block, char *scratch, int leaks, int half) {
  const Picture *x = &job->x, *slopes = &job->slopes;
  float *v = (float *)scratch, *m = v + POINTS * job->v_plane, *sums = m + POINTS * job->m_plane;
  int count = block_size(job->tiles, block), step = half ? 2 : 1;
  memset(sums += block * slopes->channels, 0, slopes->channels * sizeof *sums);
  for (int t = 0; t < count; t += step) {
    long tile = block * BLOCK + t, row = tile / step;
    Window windows[2], seen[2];
    for (int i = 0; i < step && t + i < count; i++) {
      look(x, job->first + tile + i, 6, 1, &windows[i]);
      look(slopes, job->first + tile + i, 4, 0, &seen[i]);
    }
    for (long c = 0; c < x->channels; c += LANES) {
      vec points[2][POINTS] = {0};
      for (int i = 0; i < step && t + i < count; i++) transform_inputs(&windows[i], c, 0, half, points[i]);
      put_points(v + row * x->channels + c, job->v_plane, points[0], points[1], half);
    }
    for (long c = 0; c < slopes->channels; c += LANES) {
      vec points[2][POINTS] = {0}, sum = get(sums + c);
      for (int i = 0; i < step && t + i < count; i++) sum += transform_slopes(&seen[i], c, leaks, half, points[i]);
      put_points(m + row * slopes->channels + c, job->m_plane, points[0], points[1], half);
      put(sums + c, sum);
    }
  }
}

static void gather_pairs_float(const Job *job, long block, char *scratch) {
  if (job->slopes.leaks)
    gather_pairs(job, block, scratch, 1, 0);
  else
    gather_pairs(job, block, scratch, 0, 0);
}

static void gather_pairs_half(const Job *job, long block, char *scratch) {
  if (job->slopes.leaks)
    gather_pairs(job, block, scratch, 1, 1);
  else
    gather_pairs(job, block, scratch, 0, 1);
}

/* Where the gradients by transformed weights [36][in][outs] are summed. */
INLINE float *sums_at(const Job *job, char *scratch) {
  float *sums = (float *)scratch + POINTS * (job->v_plane + job->m_plane);
  return sums + CHUNK / BLOCK * job->slopes.channels;
}

/* Second: by_u[k][c .. c + SLOPE_ROWS][o ..] += v' m, for `wide` vectors of outputs. */
INLINE void multiply_slopes_part(const Job *job, float *by_u, long c, long o, int wide, const float *v, const float *m,
                                 int half) {
  long in = job->x.channels, outs = job->slopes.channels, steps = half ? (job->tiles + 1) / 2 : job->tiles;
  float *to = by_u + c * outs + o;
  vec sums[SLOPE_ROWS][2];
  for (int r = 0; r < SLOPE_ROWS; r++)
    for (int i = 0; i < wide; i++) sums[r][i] = job->first ? get(to + r * outs + i * LANES) : all(0);
  for (long t = 0; t < steps; t++)
    for (int r = 0; r < SLOPE_ROWS; r++)
      for (int i = 0; i < wide; i++)
        sums[r][i] = add_product(sums[r][i], v + t * in + c + r, m + t * outs + o + i * LANES, half);
  for (int r = 0; r < SLOPE_ROWS; r++)
    for (int i = 0; i < wide; i++) put(to + r * outs + i * LANES, sums[r][i]);
}

INLINE void multiply_slopes(const Job *job, long k, char *scratch, int half) {
  long in = job->x.channels, outs = job->slopes.channels, o = 0;
  float *by_u = sums_at(job, scratch) + k * in * outs;
  const float *v = (float *)scratch + k * job->v_plane, *m = (float *)scratch + POINTS * job->v_plane + k * job->m_plane;
  for (; o + 2 * LANES <= outs; o += 2 * LANES)
    for (long c = 0; c < in; c += SLOPE_ROWS) multiply_slopes_part(job, by_u, c, o, 2, v, m, half);
  if (o < outs)
    for (long c = 0; c < in; c += SLOPE_ROWS) multiply_slopes_part(job, by_u, c, o, 1, v, m, half);
}

/* by_bias += what blocks have summed */
static void add_sums(const Job *job, const char *scratch) {
  const float *sums = (const float *)scratch + POINTS * (job->v_plane + job->m_plane);
  float *to = job->correlation->by_bias;
  long outs = job->slopes.channels, blocks = (job->tiles + BLOCK - 1) / BLOCK;
  if (!job->first) memset(to, 0, outs * sizeof *to);
  for (long i = 0; i < blocks * outs; i++) to[i % outs] += sums[i];
}

INLINE void sum_item(const Job *job, long item, char *scratch, int half) {
  if (item < POINTS)
    multiply_slopes(job, item, scratch, half);
  else
    add_sums(job, scratch);
}

/* Third: by_weight[3][3][c] from by_u[36][c] */
INLINE void untransform(const Job *job, long c, char *scratch, int half) {
  long in = job->x.channels, outs = job->slopes.channels;
  const float *by_u = sums_at(job, scratch) + c * outs;
  float *to = job->correlation->by_weight + c * outs;
  for (long o = 0; o < outs; o += LANES) {
    vec points[POINTS], columns[18], sums[9];
    for (int k = 0; k < POINTS; k++) points[k] = get(by_u + k * in * outs + o);
    for (int j = 0; j < 6; j++) transform_sums(points + j, columns + j, 6, 6, near_point(half), far_point(half));
    for (int i = 0; i < 3; i++) transform_sums(columns + i * 6, sums + i * 3, 1, 1, near_point(half), far_point(half));
    for (int i = 0; i < 9; i++) put(to + i * in * outs + o, sums[i]);
  }
}

static void sum_item_float(const Job *job, long item, char *scratch) { sum_item(job, item, scratch, 0); }
static void sum_item_half(const Job *job, long item, char *scratch) { sum_item(job, item, scratch, 1); }
static void untransform_float(const Job *job, long c, char *scratch) { untransform(job, c, scratch, 0); }
static void untransform_half(const Job *job, long c, char *scratch) { untransform(job, c, scratch, 1); }

void NAME(correlate, LEVEL)(const Correlation *of, int threads) {
  Job job = {.correlation = of, .x = picture_of(of->x, NULL, of->b, of->h, of->w, of->in), .scratch = of->scratch};
  job.slopes = picture_of(of->slopes, of->leaks, of->b, of->h, of->w, of->outs);
  long tiles = tile_count(&job.x), most = tiles < CHUNK ? (tiles + 1) / 2 * 2 : CHUNK;
  job.v_plane = most * of->in + LINE;
  job.m_plane = most * of->outs + LINE;
  for (job.first = 0; job.first < tiles; job.first += CHUNK) {
    job.tiles = tiles - job.first < CHUNK ? tiles - job.first : CHUNK;
    Job gathering = job, summing = job, finishing = job;
    gathering.items = (job.tiles + BLOCK - 1) / BLOCK;
    gathering.work = of->half ? gather_pairs_half : gather_pairs_float;
    summing.items = POINTS + 1;
    summing.work = of->half ? sum_item_half : sum_item_float;
    finishing.items = of->in;
    finishing.work = of->half ? untransform_half : untransform_float;
    divide((Job[]){gathering, summing, finishing}, job.first + CHUNK < tiles ? 2 : 3, threads);
  }
}
