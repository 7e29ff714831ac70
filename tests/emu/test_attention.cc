// Attention with bf16 operands on the emulated device, through the graphs that cuDNN gets on a real one, against plain loops in f64:
// every layout of the rows, dropout (its mask read off first), empty samples, rows outside all samples, refusal.
#include "tests/emu/attention.h"

#ifdef VBL_TEST_GPU
#include "kernels/cuda/backend.h"
#include "kernels/cuda/cudnn.h"
#endif

static void check_mask(const problem &a, const numbers &m, const numbers &other) {
  double kept = 0, total = 0, differ = 0, alike = 0;  // alike: as the first sample's first head
  for (int64_t b = 0; b < a.B; b++)
    for (int64_t h = 0; h < a.c.H; h++)
      for (int64_t i = 0; i < a.c.queries[(size_t)b]; i++)
        for (int64_t j = 0; j < a.c.keys[(size_t)b]; j++) {
          const size_t e = (size_t)(((b * a.c.H + h) * a.longest_q + i) * a.longest_k + j);
          kept += m[e] != 0, differ += m[e] != other[e], total++;
          alike += m[e] == m[(size_t)(i * a.longest_k + j)];
        }
  const double deviation = sqrt(a.c.p * (1 - a.c.p) / total);
  CHECK(fabs(kept / total - (1 - a.c.p)) < 5 * deviation, "%s: keeps %g of the %g probabilities, %g of all alike in all heads",
        a.c.what, kept / total, total, alike / total);
  CHECK(fabs(differ / total - 2 * a.c.p * (1 - a.c.p)) < 10 * deviation, "%s: another step's mask differs in %g", a.c.what,
        differ / total);
}

static void run(const sizes &c) {
  const problem a(c);
  const numbers m = mask_of(a, scale_of(c), 7);
  if (c.p > 0) check_mask(a, m, mask_of(a, scale_of(c), 8));
  agree(a, m);
}

// The share that a mask of a real size keeps, where a sample is cheap: 465,708 of them, 5 standard deviations are 0.0022.
static void large_mask() {
#ifdef VBL_TEST_GPU
  const sizes c = {"dropout of a real size", 4, 64, {197, 197, 197}, {197, 197, 197}, true, false, 0.1};
  const problem a(c);
  check_mask(a, mask_of(a, scale_of(c), 7), mask_of(a, scale_of(c), 8));
#endif
}

static void refusals() {
  results r;
  const sizes odd = {"heads of 7 columns", 2, 7, {5, 3}, {4, 6}, false, false, 0};
  CHECK(!computed(problem(odd), 1, 1, problem(odd).v, &r), "heads of 7 columns were taken");
  CHECK(isnan(r.lse[0]) && r.o[0] == 0, "a refusal wrote something");
}

// Where dq can only be summed by atomic additions (with dropout on sm_100) and must not be, vbl's own kernels do it, with other masks.
static void deterministic(bool atomic) {
  results r, fixed;
  const sizes c = {"deterministic", 2, 16, {17, 17}, {17, 17}, true, false, 0.1};
  const problem a(c);
  CHECK(computed(a, 0.25, 7, a.v, &r), "refused where nothing has to repeat");
  ordered = true;
  CHECK(computed(a, 0.25, 7, a.v, &fixed), "refused where sums have to repeat");
  ordered = false;
  const bool same =
      memcmp(r.dq.data(), fixed.dq.data(), r.dq.size() * sizeof r.dq[0]) == 0;  // bits: rows outside all samples are NaN
  CHECK(same != atomic, "sums in an order that varies, or other kernels without need");
}

// On a GPU with a cuDNN that is new enough the graphs are what runs: vbl's own kernels would hide that no plan was made.
static void plans_are_made() {
#ifdef VBL_TEST_GPU
  char why[512] = "";
  if (vbl_cudnn::missing() != nullptr) {
    printf("SKIPPED: cuDNN's attention: %s\n", vbl_cudnn::missing());
    return;
  }
  CHECK(vbl_cuda::fused_attention(why, sizeof why), "cuDNN makes no plan: %s", why);
#endif
}

int main() {
  const int missing = open_device();
  if (missing != 0) return missing;
  plans_are_made();
  run({"images", 2, 16, {17, 17, 17}, {17, 17, 17}, true, false, 0});
  run({"images, dropout", 2, 16, {17, 17, 17}, {17, 17, 17}, true, false, 0.1});
  run({"images on images of another size", 1, 8, {9, 9}, {21, 21}, true, false, 0.3});
  run({"text", 3, 8, {14, 1, 40}, {14, 1, 40}, false, false, 0});
  run({"text, dropout", 2, 16, {14, 1, 33}, {14, 1, 33}, false, true, 0.1});
  run({"text on images", 2, 32, {14, 5}, {37, 37}, false, false, 0.1});
  run({"images on text", 2, 32, {37, 37}, {14, 5}, false, true, 0.1});
  run({"text in wider rows", 2, 16, {14, 1, 33}, {14, 1, 33}, false, false, 0, 3});
  run({"padded text in wider rows", 2, 16, {14, 1, 33}, {14, 1, 33}, false, true, 0, 3});
  run({"images in wider rows", 2, 16, {17, 17, 17}, {17, 17, 17}, true, false, 0, 3});
  run({"empty samples", 2, 8, {4, 0, 6}, {0, 3, 5}, false, true, 0});
  large_mask();
  refusals();
  const char *play = getenv("VBL_EMU_CUDNN");  // cuDNN's way on sm_100, played where it is asked for
  deterministic(strstr(gpu->isa, "sm_100") != nullptr || (play != nullptr && strcmp(play, "atomic") == 0));
  printf("attention in bf16 on %s: %s\n", gpu->isa, failures == 0 ? "ok" : "FAILED");
  return failures > 0;
}
