// The emulation's stand-in for cuDNN: graphs are computed node by node, each tensor in f32 in dense memory, rounded where it is bf16. What
// a length cuts off is NaN, so that a graph that lets it through is seen. Dropout draws vbl's Philox numbers, not cuDNN's. As cuDNN's kernels do, a backward takes
// no notice of the strides of STATS that are not ragged (sm_80, before 9.26), and the rows of a tile past a ragged sample's end are read.
// VBL_EMU_CUDNN plays machines: "missing" without cuDNN, "padded" refuses packed rows, "atomic" also dq's sums in a fixed order.
// defines: vbl_cudnn::{missing, version, supports, make, drop, workspace, run}
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <vector>

#include "core/base/philox.h"
#include "kernels/cuda/cudnn.h"
#include "kernels/emu/streams.h"

using namespace vbl_graph;

namespace vbl_cudnn {

struct plan {
  graph g;
};

namespace {

float round_bf16(float x) {
  uint32_t bits = __float_as_uint(x);
  if (isnan(x)) return x;
  bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
  return __uint_as_float(bits);
}

class machine {
 public:
  machine(const graph &of, const bindings &b) : g(of), bound(b), values((size_t)of.tensors) {
    for (int i = 0; i < g.nodes; i++) compute(g.n[i]);
  }

 private:
  const graph &g;
  const bindings &bound;
  std::vector<std::vector<float>> values;

  static int64_t count(const tensor &t) { return t.dim[0] * t.dim[1] * t.dim[2] * t.dim[3]; }
  void *base(int i) { return g.t[i].where == SCALAR ? nullptr : bound.at[g.t[i].name]; }

  // The element of memory that (b, h, r, c) is, or -1 where sample b has no such row.
  int64_t place(const tensor &t, int64_t b, int64_t h, int64_t r, int64_t c, bool reads) {
    const int64_t inside = h * t.stride[1] + r * t.stride[2] + c * t.stride[3];
    if (t.ragged < 0 && t.name == STATS && reads) return (b * t.dim[1] + h) * t.dim[2] + r;
    if (t.ragged < 0) return b * t.stride[0] + inside;
    const int64_t row = t.stride[3] == 1 ? r : c;
    if (row >= ((const int32_t *)base(t.lengths))[b]) return -1;
    return ((const int64_t *)base(t.ragged))[b] + inside;
  }

  // Rows that P = 0 is multiplied with.
  void check_tile(const tensor &t, const void *p) {
    enum { TILE = 128 };
    const bool upright = t.stride[3] == 1;
    const int64_t pitch = t.stride[upright ? 2 : 3], width = t.dim[upright ? 3 : 2];
    for (int64_t b = 0; b < t.dim[0]; b++) {
      const int64_t n = ((const int32_t *)base(t.lengths))[b], first = ((const int64_t *)base(t.ragged))[b];
      for (int64_t row = n; row % TILE != 0; row++)
        for (int64_t i = 0; i < t.dim[1] * width; i++)
          if (isnan(load(t.T, p, first + row * pitch + i / width * t.stride[1] + i % width)))
            return vbl_emu::broken("attention reads past a sample's end what is no number");
    }
  }

  template <class F>
  void each(const tensor &t, F f) {
    int64_t i = 0;
    for (int64_t b = 0; b < t.dim[0]; b++)
      for (int64_t h = 0; h < t.dim[1]; h++)
        for (int64_t r = 0; r < t.dim[2]; r++)
          for (int64_t c = 0; c < t.dim[3]; c++) f(i++, b, h, r, c);
  }

  static float load(dtype T, const void *p, int64_t i) {
    switch (T) {
      case BF16:
        return __uint_as_float((uint32_t)((const uint16_t *)p)[i] << 16);
      case I32:
        return (float)((const int32_t *)p)[i];
      default:
        return ((const float *)p)[i];
    }
  }

  const std::vector<float> &read(int i) {
    const tensor &t = g.t[i];
    std::vector<float> &v = values[(size_t)i];
    if (!v.empty()) return v;
    if (t.where == SCALAR) return v.assign(1, t.value), v;
    v.resize((size_t)count(t), NAN);
    if (t.ragged >= 0 && t.T == BF16) check_tile(t, base(i));
    each(t, [&](int64_t e, int64_t b, int64_t h, int64_t r, int64_t c) {
      const int64_t at = place(t, b, h, r, c, true);
      if (at >= 0) v[(size_t)e] = load(t.T, base(i), at);
    });
    return v;
  }

  // Element (b, h, r, c) of a tensor whose dims of size 1 stand for any size.
  float at(int i, int64_t b, int64_t h, int64_t r, int64_t c) {
    const tensor &t = g.t[i];
    const int64_t index[] = {b, h, r, c};
    int64_t e = 0;
    for (int d = 0; d < 4; d++) e = e * t.dim[d] + (t.dim[d] == 1 ? 0 : index[d]);
    return read(i)[(size_t)e];
  }

  void write(int i, std::vector<float> v) {
    const tensor &t = g.t[i];
    if (t.T == BF16)
      for (float &x : v) x = round_bf16(x);
    if (t.where == REAL)
      each(t, [&](int64_t e, int64_t b, int64_t h, int64_t r, int64_t c) {
        const int64_t to = place(t, b, h, r, c, false);
        if (to < 0) return;
        if (t.T == BF16)
          ((uint16_t *)base(i))[to] = (uint16_t)(__float_as_uint(v[(size_t)e]) >> 16);
        else
          ((float *)base(i))[to] = v[(size_t)e];
      });
    values[(size_t)i] = std::move(v);
  }

  int64_t bound_of(int lengths, int64_t b, int64_t all) { return lengths < 0 ? all : (int64_t)at(lengths, b, 0, 0, 0); }

  void compute(const node &n) {
    const tensor &out = g.t[n.out];
    std::vector<float> v((size_t)count(out));
    each(out, [&](int64_t e, int64_t b, int64_t h, int64_t r, int64_t c) { v[(size_t)e] = element(n, e, b, h, r, c); });
    write(n.out, std::move(v));
  }

  float element(const node &n, int64_t e, int64_t b, int64_t h, int64_t r, int64_t c) {
    const auto x = [&](int k) { return at(n.in[k], b, h, r, c); };
    switch (n.f) {
      case MATMUL:
        return product(n, b, h, r, c);
      case TRANSPOSE:
        return at(n.in[0], b, h, c, r);
      case KEEP:
        return keep(n, e);
      case MAX_OF:
      case SUM_OF:
        return reduced(n, b, h, r);
      case ADD:
        return x(0) + x(1);
      case SUB:
        return x(0) - x(1);
      case MUL:
        return x(0) * x(1);
      case DIV:
        return x(0) / x(1);
      case EXP:
        return expf(x(0));
      case LOG:
        return logf(x(0));
      case COPY:
        return x(0);
      case ROW_INDEX:
        return (float)r;
      case COLUMN_INDEX:
        return (float)c;
      case LESS:
        return x(0) < x(1);
      case AND:
        return x(0) != 0 && x(1) != 0;
      case SELECT:
        return x(2) != 0 ? x(0) : x(1);
    }
    return NAN;
  }

  float product(const node &n, int64_t b, int64_t h, int64_t r, int64_t c) {
    const int64_t K = bound_of(n.k, b, g.t[n.in[0]].dim[3]);
    if (r >= bound_of(n.m, b, r + 1) || c >= bound_of(n.n, b, c + 1)) return n.zeros ? 0 : NAN;
    float sum = 0;
    for (int64_t k = 0; k < K; k++) sum += at(n.in[0], b, h, r, k) * at(n.in[1], b, h, k, c);
    return sum;
  }

  float reduced(const node &n, int64_t b, int64_t h, int64_t r) {
    float result = n.f == MAX_OF ? -INFINITY : 0;
    for (int64_t c = 0; c < g.t[n.in[0]].dim[3]; c++) {
      const float x = at(n.in[0], b, h, r, c);
      result = n.f == SUM_OF ? result + x : x > result || isnan(x) ? x : result;
    }
    return result;
  }

  float keep(const node &n, int64_t e) {
    const uint64_t seed = *(const uint64_t *)base(n.in[1]), offset = *(const uint64_t *)base(n.in[2]);
    const vbl_u32x4 r = vbl_philox({(uint32_t)seed, (uint32_t)(seed >> 32)}, (uint32_t)(e / 4), (uint32_t)(e >> 34),
                                   (uint32_t)offset, (uint32_t)(offset >> 32));
    return vbl_u32_to_unit(r.v[e % 4]) < (float)n.p;
  }
};

}  // namespace

static bool plays(const char *what) {
  const char *how = getenv("VBL_EMU_CUDNN");
  return how != nullptr && strcmp(how, what) == 0;
}

const char *missing() { return plays("missing") ? "cuDNN 9 is not installed (the emulation plays so)" : nullptr; }

int version() { return 0; }

// As cuDNN does, only heads of a multiple of 8 columns.
bool supports(const graph &g, const char *, char *why, size_t size) {
  if (missing() != nullptr) return snprintf(why, size, "%s", missing()), false;
  bool odd = false, packed = false, ordered = false, atomic = false;
  for (int i = 0; i < g.tensors; i++) {
    if (g.t[i].where != REAL) continue;
    odd |= g.t[i].name == Q && g.t[i].dim[3] % 8 != 0;
    packed |= g.t[i].ragged >= 0;
    ordered |= g.t[i].name == DQ;
    atomic |= g.t[i].name == DQ_SUM;
  }
  const bool padded_only = plays("padded") || plays("atomic");
  const bool refused = odd || (packed && padded_only) || (ordered && !atomic && plays("atomic"));
  return refused ? snprintf(why, size, "the emulation has no engine for it"), false : true;
}

plan *make(const graph &g, char *why, size_t size) { return supports(g, nullptr, why, size) ? new plan{g} : nullptr; }

void drop(plan *p) { delete p; }

// As cuDNN 9.19 for sm_90: where dq is summed in a fixed order dS is kept, in tiles of 64.
size_t workspace(const plan *p) {
  int64_t bytes = 2, sums = 0;
  for (int i = 0; i < p->g.tensors; i++) {
    const tensor &t = p->g.t[i];
    if (t.where == REAL && t.name == Q) bytes *= t.dim[0] * t.dim[1] * ((t.dim[2] + 63) / 64 * 64);
    if (t.where == REAL && t.name == DK) bytes *= (t.dim[2] + 63) / 64 * 64;
    if (t.where == REAL && t.name == DQ) sums += 1;
    if (t.where == REAL && t.name == DQ_SUM) sums -= 1;
  }
  return sums == 1 ? (size_t)bytes : 0;
}

const char *run(const plan *p, const bindings &b, void *, void *stream) {
  for (int i = 0; i < p->g.tensors; i++)
    if (p->g.t[i].where == REAL && (uintptr_t)b.at[p->g.t[i].name] % 16 != 0)
      return "an operand of attention is not aligned to 16 bytes, as its descriptor says";
  std::vector<vbl_emu::touch> touches;
  for (int r = 0; r < ROLES; r++)
    touches.push_back({b.at[r], r == O || r == STATS || r == DQ || r == DK || r == DV || r == DELTA || r == DQ_SUM});
  vbl_emu::perform(stream, vbl_emu::ATTENTION, touches, [=](int, int64_t) {
    if (vbl_emu::idle()) return;
    vbl_emu::device_memory open;
    machine(p->g, b);
  });
  return nullptr;
}

}  // namespace vbl_cudnn
