// Which kernels attention with bf16 operands takes on a device, for the backend that runs them and the one that counts them.
// defines: vbl_heads_fit, vbl_heads_own
#pragma once
#include "kernels/kernels.h"

// Whether vbl's own kernels (kernels/cuda/flash.cu) take the heads.
static inline bool vbl_heads_fit(const vbl_heads *a) { return a->B > 0 && a->H > 0 && a->d > 0 && a->d % 8 == 0 && a->d <= 128; }

// Whether they are to take them where cuDNN could: with dropout, for their masks are the CPU's; and where segments differ and one side is short, for
// cuDNN's operands then have to be packed or padded and its tiles are mostly empty (on an H200 copies and all took three times as long for captions).
static inline bool vbl_heads_own(const vbl_heads *a) {
  enum { SHORT = 64 };
  const int64_t least = a->longest_q < a->longest_k ? a->longest_q : a->longest_k;
  return vbl_heads_fit(a) && ((a->drop != NULL && a->drop->p > 0) || (!a->even && least <= SHORT));
}
