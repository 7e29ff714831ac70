// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3"
// (SC 2011). A draw is a pure function of its key and counter, so it is the same with any number of threads, on any device
// and after a resume. Header-only, so that CPU and CUDA kernels share one definition.
//
// How vbl keys it. key = (seed, stream): `stream` names the purpose (one constant of vbl_philox_stream below, or a dropout site).
// counter = (a, b, c, d): for dropout (column / 4, position in the sample, sample in the effective batch, step); for data
// draws (draw number, 0, sample or item, epoch or step).
// defines: vbl_philox_key, vbl_philox, vbl_u32_to_unit, vbl_philox_uniform, vbl_philox_below, vbl_philox_stream
#pragma once
#include <stdint.h>

#ifdef __CUDACC__
#define VBL_HD __host__ __device__ static inline
#else
#define VBL_HD static inline
#endif

typedef struct vbl_philox_key {
  uint32_t seed, stream;
} vbl_philox_key;

typedef struct vbl_u32x4 {
  uint32_t v[4];
} vbl_u32x4;

// What a stream number is for. Dropout sites are VBL_STREAM_DROPOUT + the site's number in the model.
enum vbl_philox_stream {
  VBL_STREAM_USER = 0,      // vbl.rand, vbl.randn, ... (vbl.manual_seed)
  VBL_STREAM_INIT = 1,      // parameter initialisation
  VBL_STREAM_ORDER = 2,     // order of the samples of an epoch
  VBL_STREAM_CAPTION = 3,   // which caption of an image
  VBL_STREAM_MLM = 4,       // token masking
  VBL_STREAM_AP = 5,        // caption swaps
  VBL_STREAM_MIM = 6,       // patch masking
  VBL_STREAM_AUGMENT = 7,   // image augmentation
  VBL_STREAM_SCENES = 8,    // the built-in data set
  VBL_STREAM_SPLIT = 9,     // train/test splits
  VBL_STREAM_MEASURE = 10,  // permutations and subsamples of measures
  VBL_STREAM_SAMPLES = 11,  // bootstrap and exchange of predictions
  VBL_STREAM_DROPOUT = 4096,
};

VBL_HD vbl_u32x4 vbl_philox(vbl_philox_key key, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  uint32_t k0 = key.seed, k1 = key.stream;
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * a, p1 = (uint64_t)0xCD9E8D57u * c;
    uint32_t na = (uint32_t)(p1 >> 32) ^ b ^ k0, nc = (uint32_t)(p0 >> 32) ^ d ^ k1;
    b = (uint32_t)p1;
    d = (uint32_t)p0;
    a = na;
    c = nc;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  vbl_u32x4 r = {{a, b, c, d}};
  return r;
}

// Uniform in [0, 1): the upper 24 bits, exact in f32.
VBL_HD float vbl_u32_to_unit(uint32_t u) { return (float)(u >> 8) * 0x1p-24f; }

// Uniform in [0, 1) with 53 bits, for data draws.
VBL_HD double vbl_philox_uniform(vbl_philox_key key, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  vbl_u32x4 r = vbl_philox(key, a, b, c, d);
  return (double)((((uint64_t)r.v[0] << 32) | r.v[1]) >> 11) * 0x1p-53;
}

// Uniform integer in [0, n), n >= 1, by multiply-shift (Lemire 2019 without the rejection step: bias below n / 2^64).
VBL_HD uint64_t vbl_philox_below(vbl_philox_key key, uint64_t n, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  vbl_u32x4 r = vbl_philox(key, a, b, c, d);
  uint64_t u = ((uint64_t)r.v[0] << 32) | r.v[1];
  return (uint64_t)(((unsigned __int128)u * n) >> 64);
}
