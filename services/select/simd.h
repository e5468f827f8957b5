/* simd.h - 16 floats at a time, by the compiler's vector types: portable code, compiled once for each width of x86
 * registers and chosen when the program starts; other processors get the compiler's own choice. */
#ifndef STRATA_SELECT_SIMD_H
#define STRATA_SELECT_SIMD_H

#include <stdint.h>

/* Sanitizers are not ready yet when the choice is made. clang 14 lacks the attribute for inlined helpers. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) \
    && !defined(__SANITIZE_THREAD__)
#define SIMD_CLONES __attribute__ ((target_clones ("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize ("O3")))
#else
#define SIMD_CLONES
#endif

typedef float simd_float __attribute__ ((vector_size (64)));
typedef int32_t simd_int __attribute__ ((vector_size (64)));

/* Bits 0..15: lanes of a that are not 0; bits 16..31: those of b. A macro: each clone needs it in its own width. */
#define simd_bits(a, b)                                                                                                \
    __extension__ ({                                                                                                   \
        const simd_int weight_ = { 1,      1 << 1, 1 << 2,  1 << 3,  1 << 4,  1 << 5,  1 << 6,  1 << 7,                \
                                   1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15 };             \
        const simd_int lanes_ = ((a) & weight_) | ((b) & (weight_ << 16));                                             \
        uint32_t bits_ = 0;                                                                                            \
        for (int lane_ = 0; lane_ < 16; lane_++)                                                                       \
            bits_ |= (uint32_t)lanes_[lane_];                                                                          \
        (uint64_t) bits_;                                                                                              \
    })

#endif
