/* What the processor has, and how much memory the kernels need; compiled for any x86-64. */

#include "winograd.h"

int supports_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

int supports_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

int supports_avx512bf16(void) { return supports_avx512() && __builtin_cpu_supports("avx512bf16"); }

long convolve_scratch(long in, long outs) { return POINTS * (BLOCK * (in + outs) + 2 * LINE) * (long)sizeof(float); }

long correlate_scratch(long b, long h, long w, long in, long outs) {
  long tiles = b * ((h + 3) / 4) * ((w + 3) / 4), most = tiles < CHUNK ? (tiles + 1) / 2 * 2 : CHUNK;
  long transforms = POINTS * (most * (in + outs) + 2 * LINE), sums = POINTS * in * outs + CHUNK / BLOCK * outs;
  return (transforms + sums) * (long)sizeof(float);
}
