// Attention with bf16 operands by vbl's own kernels, for machines without cuDNN and for what it refuses.
// defines: vbl_cuda::{flash_forward, flash_backward}
#pragma once
#include "kernels/cuda/cuda.h"

namespace vbl_cuda {

// As the entries attention_bf16, attention_bf16_backward of vbl_backend (kernels/kernels.h), with its dropout masks: those of the CPU.
// false: heads whose width is no multiple of 8 or above 128.
bool flash_forward(const vbl_heads *a, void *o, void *lse, vbl_stream s);
bool flash_backward(const vbl_heads *a, const void *o, const void *lse, const void *dout, void *dq, void *dk, void *dv,
                    vbl_stream s);

}  // namespace vbl_cuda
