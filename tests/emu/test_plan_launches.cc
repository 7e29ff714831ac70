// What the counting backend says that an entry launches, against what the CUDA backend launches when it is called with the same arguments
// (VBL_EMU_IDLE: nothing is computed). A library's product or attention is no launch of the emulation's, and one of the count's.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <functional>

extern "C" {
#include "kernels/mixed.h"
#include "kernels/plan.h"
}
#include "kernels/emu/memory.h"

extern "C" const vbl_backend *vbl_cuda_open(int device, char *message, size_t size);

static int failures;

// Arguments that lie in a backend's memory: far apart, and segment tables that the host sent.
struct memory {
  const vbl_backend *b;
  char *p;
  const int32_t (*segments)[2], *index;
  explicit memory(const vbl_backend *backend) : b(backend), p((char *)backend->alloc(BYTES)) {
    static const int32_t seg[2][2] = {{0, 24}, {24, 16}}, rows[8] = {0, 2, 1, 0, 3, -1, 2, 0};
    segments = (const int32_t(*)[2])at(14);
    index = (const int32_t *)at(15);
    b->from_host(at(14), seg, sizeof seg, nullptr);
    b->from_host(at(15), rows, sizeof rows, nullptr);
  }
  ~memory() { b->free(p, BYTES); }
  memory(const memory &) = delete;
  void *at(int i) const { return p + (size_t)i * (1 << 16); }
  float *f(int i) const { return (float *)at(i); }
  enum : size_t { BYTES = 1 << 20 };
};

typedef std::function<void(const vbl_backend *, const memory &)> call;

static bool of_library(const char *kernel) {
  static const char *const names[] = {"gemm", "gemm_bf16", "gemm_tf32", "attention_bf16", "attention_bf16_backward"};
  for (const char *name : names)
    if (strcmp(kernel, name) == 0) return true;
  return false;
}

static void check(const char *what, const vbl_backend *gpu, const call &run) {
  int64_t counted = 0, library = 0;
  int rows;
  {
    const memory m(gpu);
    vbl_emu::launches = 0;
    run(gpu, m);
  }
  vbl_plan_start(true, 0);
  {
    const memory m(vbl_plan_backend());
    run(vbl_plan_backend(), m);
  }
  const vbl_work *w = vbl_plan_work(&rows);
  for (int i = 0; i < rows; i++) (of_library(w[i].kernel) ? library : counted) += w[i].calls * w[i].launches;
  vbl_plan_end();
  if (counted == vbl_emu::launches && counted + library > 0) return;
  failures++;
  fprintf(stderr, "%s: counted %lld launches, %lld were made\n", what, (long long)counted, (long long)vbl_emu::launches);
}

static void products(const vbl_backend *gpu) {
  check("gemm", gpu, [](const vbl_backend *b, const memory &m) {
    b->gemm(false, true, 5, 7, 3, 1, m.f(0), 3, m.f(1), 3, 0, m.f(2), 7, nullptr);
  });
  check("gemm_tf32", gpu, [](const vbl_backend *b, const memory &m) {
    b->gemm_tf32(false, true, 5, 7, 3, m.f(0), 3, m.f(1), 3, true, m.f(2), 7, nullptr);
  });
  for (int kind = 0; kind < 8; kind++)
    check("gemm_bf16", gpu, [kind](const vbl_backend *b, const memory &m) {
      b->gemm_bf16(false, true, 5, 8, 16, kind & 1 ? VBL_BF16 : VBL_F32, m.f(0), 16, kind & 2 ? VBL_BF16 : VBL_F32, m.f(1), 16,
                   false, m.f(2), 8, kind & 4 ? m.f(3) : nullptr, kind & 4 ? m.f(4) : nullptr, nullptr);
    });
  check("bias", gpu, [](const vbl_backend *b, const memory &m) {
    b->bias_add(m.f(0), m.f(1), 5, 7, nullptr);
    b->bias_gelu(m.f(0), nullptr, m.f(2), 5, 7, nullptr);
    b->bias_gelu(m.f(0), m.f(1), m.f(2), 5, 7, nullptr);
    b->gelu_backward_bias(m.f(0), m.f(1), m.f(2), nullptr, false, 5, 7, nullptr);
    b->gelu_backward_bias(m.f(0), m.f(1), m.f(2), m.f(3), true, 70, 7, nullptr);
    b->column_sum(m.f(0), m.f(1), false, 5, 7, nullptr);
  });
}

static void attention(const vbl_backend *gpu) {
  check("attention", gpu, [](const vbl_backend *b, const memory &m) {
    b->attention(m.f(0), 16, m.f(1), 16, m.f(2), 16, m.segments, m.segments, 2, 2, 8, 1, nullptr, m.f(3), 16, m.f(4), nullptr);
    b->attention_backward(m.f(0), 16, m.f(1), 16, m.f(2), 16, m.segments, m.segments, 2, 2, 8, 1, nullptr, m.f(3), 16, m.f(4),
                          m.f(5), 16, m.f(6), m.f(7), 16, m.f(8), 16, m.f(9), 16, nullptr);
  });
  for (bool backward : {false, true})
    for (int kind = 0; kind < 4; kind++)  // even, packed, padded; short: vbl's own kernels
      check("attention_bf16", gpu, [backward, kind](const vbl_backend *b, const memory &m) {
        const bool even = kind == 0, whole = kind != 2;
        const int64_t longest = even ? 20 : kind == 3 ? 24 : 100;
        const vbl_heads a = {m.f(0),     m.f(1),     m.f(2), 16, 16, 16,      40,      40,   16, 16,      16,    16,
                             m.segments, m.segments, 2,      2,  8,  longest, longest, even, 1,  nullptr, whole, false};
        if (backward)
          b->attention_bf16_backward(&a, m.f(3), m.f(4), m.f(5), m.f(7), m.f(8), m.f(9), nullptr);
        else
          b->attention_bf16(&a, m.f(3), m.f(4), nullptr);
      });
}

static void norms(const vbl_backend *gpu) {
  check("norms", gpu, [](const vbl_backend *b, const memory &m) {
    b->layer_norm(m.f(0), m.f(1), m.f(2), 1e-5, m.f(3), m.f(4), m.f(5), 6, 8, nullptr);
    b->residual_norm(m.f(0), m.f(6), nullptr, m.f(1), m.f(2), 1e-5, m.f(7), m.f(3), m.f(4), m.f(5), 6, 8, nullptr);
    b->dropout_add(m.f(0), nullptr, nullptr, m.f(1), 6, 8, nullptr);
  });
  for (bool parameters : {false, true})
    check("layer_norm_backward", gpu, [parameters](const vbl_backend *b, const memory &m) {
      for (int64_t D : {8, 1100})
        b->layer_norm_backward(m.f(0), m.f(1), m.f(2), m.f(3), m.f(4), nullptr, m.f(5), parameters ? m.f(6) : nullptr,
                               parameters ? m.f(7) : nullptr, false, D == 8 ? 70 : 3, D, nullptr);
    });
}

static void mixed(const vbl_backend *gpu) {
  for (int kind = 0; kind < 16; kind++)
    check("between bf16 tensors", gpu, [kind](const vbl_backend *b, const memory &m) {
      const vbl_mixed_kernels *k = b->mixed;
      const vbl_dtype x = kind & 1 ? VBL_BF16 : VBL_F32, y = kind & 2 ? VBL_BF16 : VBL_F32;
      void *maybe = kind & 4 ? m.at(10) : nullptr, *sums = kind & 8 ? m.at(11) : nullptr;
      k->gemm(false, true, 5, 8, 16, x, m.f(0), 16, VBL_BF16, m.f(1), 16, false, y, m.f(2), 8, maybe, nullptr);
      k->gemm(false, true, 5, 8, 0, x, m.f(0), 16, VBL_BF16, m.f(1), 16, true, y, m.f(2), 8, maybe, nullptr);
      k->gemm(false, true, 5, 8, 16, x, m.f(0), 16, VBL_BF16, m.f(1), 16, true, y, m.f(2), 8, nullptr, nullptr);
      k->gelu(m.f(0), m.f(1), 35, nullptr);
      k->gelu_backward(m.f(0), m.f(1), m.f(2), sums, true, 70, 7, nullptr);
      k->column_sum(m.f(0), m.f(1), false, 70, 7, nullptr);
      k->layer_norm(m.f(0), m.f(1), m.f(2), 1e-5, m.f(3), m.f(4), m.f(5), 6, 8, nullptr);
      k->residual_norm(x, m.f(0), m.f(6), nullptr, m.f(1), m.f(2), 1e-5, m.f(7), y, m.f(3), m.f(4), m.f(5), 6, 8, nullptr);
      k->layer_norm_backward(m.f(0), m.f(1), m.f(2), m.f(3), x, m.f(4), nullptr, m.f(5), nullptr, maybe, sums, sums, false, 70, 8,
                             nullptr);
      k->dropout_add(x, m.f(0), nullptr, nullptr, y, m.f(1), 6, 8, nullptr);
      k->cross_entropy_backward(m.f(0), m.index, -1, m.f(1), nullptr, 1, m.f(2), 3, 5, nullptr);
      k->scale_add(1, x, m.f(0), 1, y, m.f(1), 5, nullptr);
    });
}

static void rows_and_losses(const vbl_backend *gpu) {
  check("rows", gpu, [](const vbl_backend *b, const memory &m) {
    static const double one[3] = {1, 1, 1};
    b->gather_rows(m.f(0), m.index, m.f(1), 8, 4, nullptr);
    b->scatter_add_rows(m.f(0), m.index, m.f(1), 8, 4, 4, nullptr);
    b->scatter_add_rows(m.f(0), m.index, m.f(1), 1100, 1, 4, nullptr);
    b->text_embedding(m.index, m.index, m.f(0), m.f(1), m.f(2), m.f(3), 8, 4, nullptr);
    b->patchify(VBL_U8, m.at(0), one, one, nullptr, m.f(1), 1, 8, 8, 4, nullptr);
    b->vit_assemble(m.f(0), m.f(1), m.f(2), m.f(3), 2, 4, 8, nullptr);
  });
  check("losses", gpu, [](const vbl_backend *b, const memory &m) {
    b->softmax(m.f(0), m.f(1), false, 3, 5, nullptr);
    b->softmax_backward(m.f(0), m.f(1), m.f(2), false, 3, 5, nullptr);
    b->cross_entropy(m.f(0), m.index, -1, m.f(1), m.f(2), 3, 5, nullptr);
    b->cross_entropy_backward(m.f(0), m.index, -1, m.f(1), nullptr, 1, m.f(2), 3, 5, nullptr);
    b->normalize_rows(m.f(0), 1e-5, m.f(1), m.f(2), 3, 5, nullptr);
    b->normalize_rows_backward(m.f(0), m.f(1), 1e-5, m.f(2), m.f(3), 3, 5, nullptr);
  });
  check("nothing of one, one of the other", gpu, [](const vbl_backend *b, const memory &m) {
    b->gather_rows(m.f(0), m.index, m.f(1), 0, 4, nullptr);
    b->dropout_add(m.f(0), nullptr, nullptr, m.f(1), 0, 8, nullptr);
    b->fill(VBL_F32, m.f(0), 0, 0, nullptr);
    b->scale_add(1, m.f(0), 0, m.f(1), 0, nullptr);
    b->softmax(m.f(0), m.f(1), false, 3, 0, nullptr);
    b->fill(VBL_F32, m.f(0), 1, 0, nullptr);
  });
}

static void elements_and_optimizers(const vbl_backend *gpu) {
  check("elements", gpu, [](const vbl_backend *b, const memory &m) {
    const int64_t shape[] = {3, 4}, dense[] = {4, 1}, row[] = {0, 1};
    b->copy(VBL_F32, m.f(0), dense, VBL_BF16, m.f(1), dense, 2, shape, nullptr);
    b->fill(VBL_BF16, m.f(0), 5, 0, nullptr);
    b->unary(VBL_EXP, m.f(0), m.f(1), 5, nullptr);
    b->unary_backward(VBL_EXP, m.f(0), m.f(1), m.f(2), m.f(3), 5, nullptr);
    b->binary(VBL_ADD, VBL_F32, m.f(0), dense, m.f(1), row, m.f(2), 2, shape, nullptr);
    b->scale_add(1, m.f(0), 1, m.f(1), 5, nullptr);
    b->reduce(VBL_SUM, m.f(0), m.f(1), nullptr, 2, 3, 4, nullptr);
    b->reduce(VBL_MAX, m.f(0), m.f(1), (int32_t *)m.at(2), 2, 3, 4, nullptr);
  });
  check("optimizers", gpu, [](const vbl_backend *b, const memory &m) {
    const vbl_adamw_piece pieces[] = {{m.f(0), m.f(1), m.f(2), nullptr, m.f(3), 5, 1, 1e-3, 0},
                                      {m.f(4), m.f(5), m.f(6), m.at(8), m.f(7), 70, 1, 1e-3, 0.1}};
    b->adamw(m.f(0), m.f(1), m.f(2), m.f(3), 5, 1e-3, 0.9, 0.99, 1e-8, 0, 1, 1, nullptr);
    b->sgd(m.f(0), m.f(1), m.f(2), 5, 1e-3, 0.9, 0, 1, true, nullptr);
    b->calm(nullptr);
    b->read(b->adamw_pieces(pieces, 2, 0.9, 0.99, 1e-8, 1, nullptr), nullptr, nullptr);
    b->read(b->read_later(m.f(0), 4, true, nullptr), nullptr, nullptr);
    b->sum_squares(m.f(0), 5, nullptr);
    b->count_nonfinite(m.f(0), 5, nullptr);
  });
}

int main(void) {
  char message[512];
  const vbl_backend *gpu = vbl_cuda_open(0, message, sizeof message);
  if (gpu == nullptr) return fprintf(stderr, "%s\n", message), 1;
  if (!vbl_emu::idle()) return fprintf(stderr, "needs VBL_EMU_IDLE\n"), 1;
  gpu->calm(nullptr);  // the alarm is made once
  products(gpu);
  attention(gpu);
  norms(gpu);
  mixed(gpu);
  rows_and_losses(gpu);
  elements_and_optimizers(gpu);
  return failures > 0;
}
