// The reference backend's table. Memory comes from the CPU backend's allocator; to_host and from_host are plain copies.
// defines: vbl_reference_backend
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/ref/ref.h"

static void reference_to_host(void *host, const void *device, size_t bytes, vbl_stream s) {
  (void)s;
  if (bytes > 0) memcpy(host, device, bytes);
}

static void reference_from_host(void *device, const void *host, size_t bytes, vbl_stream s) {
  (void)s;
  if (bytes > 0) memcpy(device, host, bytes);
}

static const vbl_backend reference = {
    .name = "reference",
    .host = true,
    .isa = "double loops",
    .alloc = vbl_cpu_alloc,
    .free = vbl_cpu_free,
    .to_host = reference_to_host,
    .from_host = reference_from_host,
    .sync = vbl_cpu_sync,
    .copy = vbl_ref_copy,
    .fill = vbl_ref_fill,
    .unary = vbl_ref_unary,
    .unary_backward = vbl_ref_unary_backward,
    .binary = vbl_ref_binary,
    .scale_add = vbl_ref_scale_add,
    .reduce = vbl_ref_reduce,
    .gemm = vbl_ref_gemm,
    .gemm_bf16 = vbl_ref_gemm_bf16,
    .bias_add = vbl_ref_bias_add,
    .bias_gelu = vbl_ref_bias_gelu,
    .gelu_backward_bias = vbl_ref_gelu_backward_bias,
    .column_sum = vbl_ref_column_sum,
    .layer_norm = vbl_ref_layer_norm,
    .residual_norm = vbl_ref_residual_norm,
    .layer_norm_backward = vbl_ref_layer_norm_backward,
    .dropout_add = vbl_ref_dropout_add,
    .attention = vbl_ref_attention,
    .attention_backward = vbl_ref_attention_backward,
    .gather_rows = vbl_ref_gather_rows,
    .scatter_add_rows = vbl_ref_scatter_add_rows,
    .text_embedding = vbl_ref_text_embedding,
    .patchify = vbl_ref_patchify,
    .vit_assemble = vbl_ref_vit_assemble,
    .softmax = vbl_ref_softmax,
    .softmax_backward = vbl_ref_softmax_backward,
    .cross_entropy = vbl_ref_cross_entropy,
    .cross_entropy_backward = vbl_ref_cross_entropy_backward,
    .normalize_rows = vbl_ref_normalize_rows,
    .normalize_rows_backward = vbl_ref_normalize_rows_backward,
    .adamw = vbl_ref_adamw,
    .sgd = vbl_ref_sgd,
    .sum_squares = vbl_ref_sum_squares,
    .count_nonfinite = vbl_ref_count_nonfinite,
};

const vbl_backend *vbl_reference_backend(void) { return &reference; }
