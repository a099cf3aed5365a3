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

/* The products of two halves each, on their way to one of 255 bits.  No array: its function would check its stack. */
struct sums {
    __m128i low, middle, high;
};

/* One after the other: left to itself the compiler adds up blocks apart, and has no registers for that. */
#define ADD(sum, product)                                                                          \
    do {                                                                                           \
        (sum) = _mm_xor_si128(sum, product);                                                       \
        __asm__("" : "+x"(sum));                                                                   \
    } while (0)

/* `key` holds the block's own four words. */
__attribute__((target("avx,pclmul"))) static inline void
fold_block(struct sums *sums, const char *at, const uint64_t *key)
{
    const __m128i a = _mm_xor_si128(load(at), load(key));
    const __m128i b = _mm_xor_si128(load(at + NH_BLOCK), load(key + 2));
    ADD(sums->low, _mm_clmulepi64_si128(a, b, 0x00));
    ADD(sums->middle, _mm_clmulepi64_si128(a, b, 0x01));
    ADD(sums->middle, _mm_clmulepi64_si128(a, b, 0x10));
    ADD(sums->high, _mm_clmulepi64_si128(a, b, 0x11));
}

__attribute__((target("avx,pclmul"))) static void fold(const uint64_t *key, const char *bytes,
                                                       size_t len, uint64_t out[4])
{
    struct sums sums = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    const char *at = bytes, *const last = bytes + len - NH_FOLD_BLOCK;
    for (; at + 3 * NH_FOLD_BLOCK < last; at += 4 * NH_FOLD_BLOCK, key += 16) {
        fold_block(&sums, at, key);
        fold_block(&sums, at + NH_FOLD_BLOCK, key + 4);
        fold_block(&sums, at + 2 * NH_FOLD_BLOCK, key + 8);
        fold_block(&sums, at + 3 * NH_FOLD_BLOCK, key + 12);
    }
    for (; at < last; at += NH_FOLD_BLOCK, key += 4)
        fold_block(&sums, at, key);
    fold_block(&sums, last, key);
    const __m128i low = _mm_xor_si128(sums.low, _mm_slli_si128(sums.middle, 8));
    const __m128i high = _mm_xor_si128(sums.high, _mm_srli_si128(sums.middle, 8));
    _mm_storeu_si128((__m128i *)(void *)out, low);
    _mm_storeu_si128((__m128i *)(void *)(out + 2), high);
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
