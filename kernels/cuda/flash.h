// Attention with bf16 operands by vbl's own kernels, for machines without cuDNN and for what it refuses.
// defines: vbl_cuda::{flash_forward, flash_backward}
#pragma once
#include "kernels/cuda/cuda.h"

namespace vbl_cuda {

// As the entries attention_bf16, attention_bf16_backward of vbl_backend (kernels/kernels.h), with its dropout masks: those of the CPU.
// false: heads whose width is no multiple of 8 or above 128.
bool flash_forward(const vbl_heads *a, void *o, int64_t ldo, void *lse, vbl_stream s);
bool flash_backward(const vbl_heads *a, const void *o, int64_t ldo, const void *lse, const void *dout, int64_t lddo, void *dq,
                    int64_t lddq, void *dk, int64_t lddk, void *dv, int64_t lddv, vbl_stream s);

}  // namespace vbl_cuda
