// The counting backend's parts (plan.c: memory and transfers; plan_kernels.c, plan_layers.c, plan_mixed.c: what each entry costs; plan_work.c: the list of it).
// defines: vbl_work, vbl_plan_work, vbl_plan_work_start, vbl_plan_{add, chunks, norm_backward, rounded, short, scratch, content, kernels},
//          vbl_plan_layers, vbl_plan_mixed
#pragma once
#include "kernels/kernels.h"

// Calls of one kernel on a GPU that cost the same, for one op. A backend's entry may be several kernels, which are rows of their own
// ("gemm_bf16 rounding"). Bytes are those that the kernel, as it is written in kernels/cuda, has to read and write in the device's memory:
// each operand once, also where a row is read twice while it is in a cache. FLOPs are those of products and attention (a multiplication and
// an addition are two) on what is there: no padding.
typedef struct vbl_work {
  const char *kernel;
  const char *op;  // who asked for it (vbl_memory_user); NULL: not known
  bool backward;
  int64_t calls;
  int launches;                 // of one call; of a library's kernels 1, however many it makes of it; 0: a copy to or from the host
  double flops, read, written;  // of one call
} vbl_work;

// The rows of the last count on a GPU, in the order in which they came up first; valid until the next one starts.
const vbl_work *vbl_plan_work(int *count);

void vbl_plan_work_start(bool on);  // forgets all rows; off: nothing is added
// One call for the op that runs.
void vbl_plan_add(const char *kernel, int launches, double flops, double read, double written);

// Sums over N rows of `sums` things of D columns: the kernel that reads the rows (and writes `written`), then one for each that
// adds the chunks (finish NULL: nobody wants the sums).
void vbl_plan_chunks(const char *kernel, const char *finish, int sums, double read, double written, bool accumulate, int64_t N,
                     int64_t D);
// A norm's backward on N rows of D columns that reads and writes so much for dx; `both` is what x, dy and the statistics are of it.
void vbl_plan_norm_backward(const char *kernel, const char *parameters, double read, double both, double written, bool sums,
                            bool accumulate, int64_t N, int64_t D);
// Bytes of an operand of f32, [rows, columns], rounded into working memory for a product (gemm.cu); 0 where it is bf16.
size_t vbl_plan_rounded(vbl_dtype T, int64_t rows, int64_t columns);

void vbl_plan_short(void);                               // there is no memory: the next sync says so
void vbl_plan_scratch(int blocks, const size_t *bytes);  // working memory of `blocks` <= 3 blocks at once, given back again
// What the host copied to p, the whole of it and at most a few MB; *bytes up to its end. NULL: not known.
const void *vbl_plan_content(const void *p, size_t *bytes);
void vbl_plan_kernels(vbl_backend *b, bool gpu);  // the entries for kernels; gpu: as a GPU has them
void vbl_plan_layers(vbl_backend *b, bool gpu);   // some of them
extern const struct vbl_mixed_kernels vbl_plan_mixed;
