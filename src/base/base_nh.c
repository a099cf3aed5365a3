/* SPDX-License-Identifier: Apache-2.0 */
/* base_nh.c - see base_nh.h: NH without carries, where the processor multiplies so. */
#include "base/base_nh.h"

static void sum(const uint64_t *key, const char *bytes, size_t len, uint64_t out[4])
{
    struct nh nh = {key, 0, 0};
    nh_bytes(&nh, bytes, len);
    out[0] = (uint64_t)nh.first;
    out[1] = (uint64_t)(nh.first >> 64);
    out[2] = (uint64_t)nh.second;
    out[3] = (uint64_t)(nh.second >> 64);
}

#ifdef __x86_64__
#include <immintrin.h>

static int can_fold(void)
{
    return __builtin_cpu_supports("avx") && __builtin_cpu_supports("pclmul");
}

__attribute__((target("avx,pclmul"))) static inline __m128i load(const void *at)
{
    return _mm_loadu_si128(at);
}

/* No array: its function would check its stack. */
struct sums {
    __m128i first, second;
};

/* Both passes of one pair; `key` holds the pair's own two words and the next two. */
__attribute__((target("avx,pclmul"))) static inline void
fold_pair(struct sums *sums, const char *at, const uint64_t *key)
{
    const __m128i pair = load(at);
    const __m128i first = _mm_xor_si128(pair, load(key));
    const __m128i second = _mm_xor_si128(pair, load(key + 2));
    sums->first = _mm_xor_si128(sums->first, _mm_clmulepi64_si128(first, first, 0x10));
    sums->second = _mm_xor_si128(sums->second, _mm_clmulepi64_si128(second, second, 0x10));
}

__attribute__((target("avx,pclmul"))) static void fold(const uint64_t *key, const char *bytes,
                                                       size_t len, uint64_t out[4])
{
    struct sums sums = {_mm_setzero_si128(), _mm_setzero_si128()};
    const char *at = bytes, *const last = bytes + len - NH_BLOCK;
    for (; at + 3 * NH_BLOCK < last; at += 4 * NH_BLOCK, key += 8) {
        fold_pair(&sums, at, key);
        fold_pair(&sums, at + NH_BLOCK, key + 2);
        fold_pair(&sums, at + 2 * NH_BLOCK, key + 4);
        fold_pair(&sums, at + 3 * NH_BLOCK, key + 6);
    }
    for (; at < last; at += NH_BLOCK, key += 2)
        fold_pair(&sums, at, key);
    fold_pair(&sums, last, key);
    _mm_storeu_si128((__m128i *)(void *)out, sums.first);
    _mm_storeu_si128((__m128i *)(void *)(out + 2), sums.second);
}

void nh_fold(const uint64_t *key, const char *bytes, size_t len, uint64_t out[4])
{
    if (can_fold())
        fold(key, bytes, len, out);
    else
        sum(key, bytes, len, out);
}
#else
void nh_fold(const uint64_t *key, const char *bytes, size_t len, uint64_t out[4])
{
    sum(key, bytes, len, out);
}
#endif
