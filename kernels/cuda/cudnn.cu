// Graphs become descriptors of cuDNN's backend API, node by node; an engine is asked for, and its plan run.
// defines: vbl_cudnn::{missing, version, supports, make, drop, workspace, run}
#if defined(__CUDACC__) || defined(VBL_CUDNN)
#include <cudnn.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <initializer_list>
#include <memory>
#include <vector>

#include "kernels/cuda/cudnn.h"

using namespace vbl_graph;

namespace vbl_cudnn {

namespace {

enum { OLDEST = 91501 };

typedef cudnnBackendDescriptor_t descriptor;

// clang-format off
#define FUNCTIONS(X)                                                                                         \
  X(cudnnGetVersion) X(cudnnCreate) X(cudnnSetStream) X(cudnnGetErrorString) X(cudnnGetLastErrorString)      \
  X(cudnnBackendCreateDescriptor) X(cudnnBackendDestroyDescriptor) X(cudnnBackendSetAttribute)               \
  X(cudnnBackendGetAttribute) X(cudnnBackendFinalize) X(cudnnBackendExecute)
// clang-format on

struct library {
  char missing[256];
#define DECLARE(name) decltype(&::name) name;
  FUNCTIONS(DECLARE)
#undef DECLARE
};

library open_library() {
  library l = {};
  void *so = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
  if (so == nullptr) {
    snprintf(l.missing, sizeof l.missing, "cuDNN 9 is not installed (libcudnn.so.9 is not where the loader looks)");
    return l;
  }
  bool whole = true;
#define RESOLVE(name) whole = (l.name = (decltype(l.name))dlsym(so, #name)) != nullptr && whole;
  FUNCTIONS(RESOLVE)
#undef RESOLVE
  const int v = l.cudnnGetVersion != nullptr ? (int)l.cudnnGetVersion() : 0;
  if (!whole || v < OLDEST)
    snprintf(l.missing, sizeof l.missing, "cuDNN %d.%d.%d is too old: 9.15.1 or newer is needed", v / 10000, v / 100 % 100,
             v % 100);
  return l;
}

const library &api() {
  static const library l = open_library();
  return l;
}

cudnnDataType_t type_of(dtype T) {
  switch (T) {
    case F32:
      return CUDNN_DATA_FLOAT;
    case BF16:
      return CUDNN_DATA_BFLOAT16;
    case I32:
      return CUDNN_DATA_INT32;
    case I64:
      return CUDNN_DATA_INT64;
    case BOOL:
      return CUDNN_DATA_BOOLEAN;
  }
  return CUDNN_DATA_FLOAT;
}

cudnnPointwiseMode_t mode_of(function f) {
  switch (f) {
    case ADD:
      return CUDNN_POINTWISE_ADD;
    case SUB:
      return CUDNN_POINTWISE_SUB;
    case MUL:
      return CUDNN_POINTWISE_MUL;
    case DIV:
      return CUDNN_POINTWISE_DIV;
    case EXP:
      return CUDNN_POINTWISE_EXP;
    case LOG:
      return CUDNN_POINTWISE_LOG;
    case ROW_INDEX:
    case COLUMN_INDEX:
      return CUDNN_POINTWISE_GEN_INDEX;
    case LESS:
      return CUDNN_POINTWISE_CMP_LT;
    case AND:
      return CUDNN_POINTWISE_LOGICAL_AND;
    case SELECT:
      return CUDNN_POINTWISE_BINARY_SELECT;
    default:
      return CUDNN_POINTWISE_IDENTITY;
  }
}

// What a graph is for: a device of which only the description is here, or that of a handle, which the graph and the plan are given or, the newer
// way, described from. An engine of a graph that is given neither is asked for no device at all, and refuses.
struct place {
  const char *json;
  cudnnHandle_t handle;
  bool described;
};

// Every descriptor made for one graph, and the first failure: after it nothing more is done.
class lowering {
 public:
  lowering(const graph &of, const place &where, char *reason, size_t reason_size)
      : g(of), why(reason), size(reason_size), failed(false), of_tensor((size_t)of.tensors, nullptr), device(nullptr), on(nullptr) {
    if (where.json != nullptr)
      describe(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(where.json), where.json);
    else if (where.described)
      describe(CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &where.handle);
    else
      on = where.handle;
    for (int i = 0; i < g.nodes; i++) operations.push_back(operation(g.n[i]));
  }
  ~lowering() {
    for (size_t i = made.size(); i > 0; i--) api().cudnnBackendDestroyDescriptor(made[i - 1]);
  }
  lowering(const lowering &) = delete;

  // The engines that take the graph, the best first.
  std::vector<descriptor> engines(cudnnBackendHeurMode_t mode) {
    descriptor graph_of = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "graph");
    if (on != nullptr) set(graph_of, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &on);
    set(graph_of, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, (int64_t)operations.size(), operations.data());
    finalize(graph_of, "graph");
    descriptor heuristics = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "heuristics");
    link(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph_of);
    set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (device != nullptr) link(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
    finalize(heuristics, "heuristics");
    std::vector<descriptor> found;
    for (int i = 0; i < MOST_ENGINES && !failed; i++) found.push_back(make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "engine"));
    int64_t n = 0;
    if (!failed)
      note(api().cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST_ENGINES,
                                          &n, found.data()),
           "engines");
    found.resize(failed ? 0 : (size_t)n);
    return found;
  }

  // A finished plan of an engine, which the caller destroys; NULL where the engine does not take it after all.
  descriptor plan_of(descriptor engine) {
    descriptor p = nullptr;
    failed = false;
    note(api().cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &p), "plan");
    if (!failed) link(p, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, engine);
    if (!failed && device != nullptr) link(p, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
    if (!failed && on != nullptr) set(p, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &on);
    finalize(p, "plan");
    if (failed && p != nullptr) api().cudnnBackendDestroyDescriptor(p);
    return failed ? nullptr : p;
  }

 private:
  enum { MOST_ENGINES = 16 };
  const graph &g;
  char *why;
  size_t size;
  bool failed;
  std::vector<descriptor> made, of_tensor, operations;
  descriptor device;
  cudnnHandle_t on;

  void note(cudnnStatus_t s, const char *what) {
    if (s == CUDNN_STATUS_SUCCESS || failed) return;
    char detail[256] = "";
    api().cudnnGetLastErrorString(detail, sizeof detail);
    snprintf(why, size, "cuDNN %s: %s %s", what, api().cudnnGetErrorString(s), detail);
    failed = true;
  }
  descriptor make(cudnnBackendDescriptorType_t type, const char *what) {
    descriptor d = nullptr;
    if (failed) return d;
    note(api().cudnnBackendCreateDescriptor(type, &d), what);
    if (d != nullptr) made.push_back(d);
    return d;
  }
  void set(descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n, const void *value) {
    if (!failed) note(api().cudnnBackendSetAttribute(d, name, type, n, value), "attribute");
  }
  void link(descriptor d, cudnnBackendAttributeName_t name, descriptor to) { set(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &to); }
  void finalize(descriptor d, const char *what) {
    if (!failed) note(api().cudnnBackendFinalize(d), what);
  }

  void describe(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n, const void *value) {
    device = make(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "device");
    set(device, name, type, n, value);
    finalize(device, "device");
  }

  descriptor at(int i) {
    if (of_tensor[(size_t)i] != nullptr) return of_tensor[(size_t)i];
    const tensor &t = g.t[i];
    const descriptor offsets = t.ragged >= 0 ? at(t.ragged) : nullptr;
    const cudnnDataType_t T = type_of(t.T);
    const int64_t id = i + 1, alignment = 16;
    const bool is_virtual = t.where == VIRTUAL, by_value = t.where == SCALAR;
    const descriptor d = of_tensor[(size_t)i] = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR, "tensor");
    set(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &T);
    set(d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, t.dim);
    set(d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, t.stride);
    set(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    set(d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
    if (offsets != nullptr) link(d, CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, offsets);
    finalize(d, "tensor");
    return d;
  }

  descriptor operation(const node &n) {
    switch (n.f) {
      case MATMUL:
        return product(n);
      case TRANSPOSE:
        return reshape(n);
      case KEEP:
        return random(n);
      case MAX_OF:
      case SUM_OF:
        return reduction(n);
      default:
        return pointwise(n);
    }
  }

  descriptor product(const node &n) {
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const double zero = 0;
    const descriptor m = make(CUDNN_BACKEND_MATMUL_DESCRIPTOR, "product"),
                     o = make(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, "product");
    set(m, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    if (n.zeros) set(m, CUDNN_ATTR_MATMUL_PADDING_VALUE, CUDNN_TYPE_DOUBLE, 1, &zero);
    finalize(m, "product");
    link(o, CUDNN_ATTR_OPERATION_MATMUL_ADESC, at(n.in[0]));
    link(o, CUDNN_ATTR_OPERATION_MATMUL_BDESC, at(n.in[1]));
    link(o, CUDNN_ATTR_OPERATION_MATMUL_CDESC, at(n.out));
    link(o, CUDNN_ATTR_OPERATION_MATMUL_DESC, m);
    if (n.m >= 0) link(o, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, at(n.m));
    if (n.n >= 0) link(o, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, at(n.n));
    if (n.k >= 0) link(o, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, at(n.k));
    finalize(o, "product");
    return o;
  }

  descriptor reshape(const node &n) {
    const descriptor o = make(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, "reshape");
    link(o, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, at(n.in[0]));
    link(o, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, at(n.out));
    finalize(o, "reshape");
    return o;
  }

  descriptor random(const node &n) {
    const cudnnRngDistribution_t bernoulli = CUDNN_RNG_DISTRIBUTION_BERNOULLI;
    const descriptor r = make(CUDNN_BACKEND_RNG_DESCRIPTOR, "rng"), o = make(CUDNN_BACKEND_OPERATION_RNG_DESCRIPTOR, "rng");
    set(r, CUDNN_ATTR_RNG_DISTRIBUTION, CUDNN_TYPE_RNG_DISTRIBUTION, 1, &bernoulli);
    set(r, CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY, CUDNN_TYPE_DOUBLE, 1, &n.p);
    finalize(r, "rng");
    link(o, CUDNN_ATTR_OPERATION_RNG_YDESC, at(n.out));
    link(o, CUDNN_ATTR_OPERATION_RNG_DESC, r);
    link(o, CUDNN_ATTR_OPERATION_RNG_SEED, at(n.in[1]));
    link(o, CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC, at(n.in[2]));
    finalize(o, "rng");
    return o;
  }

  descriptor reduction(const node &n) {
    const cudnnReduceTensorOp_t f = n.f == MAX_OF ? CUDNN_REDUCE_TENSOR_MAX : CUDNN_REDUCE_TENSOR_ADD;
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const descriptor r = make(CUDNN_BACKEND_REDUCTION_DESCRIPTOR, "reduction"),
                     o = make(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, "reduction");
    set(r, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &f);
    set(r, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    finalize(r, "reduction");
    link(o, CUDNN_ATTR_OPERATION_REDUCTION_DESC, r);
    link(o, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, at(n.in[0]));
    link(o, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, at(n.out));
    finalize(o, "reduction");
    return o;
  }

  descriptor pointwise(const node &n) {
    const cudnnPointwiseMode_t mode = mode_of(n.f);
    const dtype out = g.t[n.out].T;
    const cudnnDataType_t math = type_of(out == BF16 ? F32 : out);
    const int64_t axis = n.f == ROW_INDEX ? 2 : 3;
    const descriptor p = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "pointwise"),
                     o = make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "pointwise");
    set(p, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(p, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &math);
    if (n.f == ROW_INDEX || n.f == COLUMN_INDEX) set(p, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &axis);
    finalize(p, "pointwise");
    link(o, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, p);
    link(o, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, at(n.in[0]));
    if (n.in[1] >= 0) link(o, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, at(n.in[1]));
    if (n.in[2] >= 0) link(o, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, at(n.in[2]));
    link(o, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, at(n.out));
    finalize(o, "pointwise");
    return o;
  }
};

cudnnHandle_t handle() {
  static cudnnHandle_t h;
  if (h == nullptr && api().cudnnCreate(&h) != CUDNN_STATUS_SUCCESS) h = nullptr;
  return h;
}

const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};

}  // namespace

struct plan {
  std::shared_ptr<lowering> made_from;  // whose descriptors live as long: what of them a plan still uses is not said
  descriptor of;
  size_t workspace;
  std::vector<int64_t> ids;  // of REAL and SCALAR tensors
  std::vector<role> names;   // of ids[i]; NO_ROLE: values[i]
  std::vector<float> values;
};

const char *missing() { return api().missing[0] != '\0' ? api().missing : nullptr; }

int version() { return api().cudnnGetVersion != nullptr ? (int)api().cudnnGetVersion() : 0; }

bool supports(const graph &g, const char *device, char *why, size_t size) {
  if (missing() != nullptr) return snprintf(why, size, "%s", missing()), false;
  for (cudnnBackendHeurMode_t mode : modes) {
    lowering l(g, {device, device == nullptr ? handle() : nullptr, false}, why, size);
    if (!l.engines(mode).empty()) return true;
  }
  if (why[0] == '\0') snprintf(why, size, "cuDNN has no engine for it");
  return false;
}

// The tensors that a node uses and that are not between two nodes.
static void collect(const graph &g, plan *p) {
  std::vector<bool> used((size_t)g.tensors, false);
  for (int i = 0; i < g.nodes; i++) {
    const node &n = g.n[i];
    for (int t : {n.f == KEEP ? -1 : n.in[0], n.in[1], n.in[2], n.out, n.m, n.n, n.k}) {
      if (t < 0) continue;
      used[(size_t)t] = true;
      if (g.t[t].ragged >= 0) used[(size_t)g.t[t].ragged] = true;
    }
  }
  for (int t = 0; t < g.tensors; t++) {
    if (!used[(size_t)t] || g.t[t].where == VIRTUAL) continue;
    p->ids.push_back(t + 1);
    p->names.push_back(g.t[t].where == REAL ? g.t[t].name : NO_ROLE);
    p->values.push_back(g.t[t].value);
  }
}

// Of the engines that the heuristics name, the best first, the plan of the first that makes one.
static plan *first_plan(const graph &g, const place &where, cudnnBackendHeurMode_t mode, char *why, size_t size) {
  const auto l = std::make_shared<lowering>(g, where, why, size);
  for (descriptor engine : l->engines(mode)) {
    const descriptor d = l->plan_of(engine);
    int64_t bytes = 0, n = 0;
    if (d == nullptr) continue;
    if (api().cudnnBackendGetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n, &bytes) !=
        CUDNN_STATUS_SUCCESS) {
      api().cudnnBackendDestroyDescriptor(d);
      continue;
    }
    plan *p = new plan{l, d, (size_t)bytes, {}, {}, {}};
    collect(g, p);
    return p;
  }
  return nullptr;
}

plan *make(const graph &g, char *why, size_t size) {
  why[0] = '\0';
  if (missing() != nullptr) return snprintf(why, size, "%s", missing()), nullptr;
  if (handle() == nullptr) return snprintf(why, size, "cuDNN cannot be started (memory?)"), nullptr;
  for (bool described : {false, true})
    for (cudnnBackendHeurMode_t mode : modes) {
      plan *p = first_plan(g, {nullptr, handle(), described}, mode, why, size);
      if (p != nullptr) return p;
    }
  if (why[0] == '\0') snprintf(why, size, "cuDNN has no engine for it");
  return nullptr;
}

void drop(plan *p) {
  if (p != nullptr) api().cudnnBackendDestroyDescriptor(p->of);
  delete p;
}

size_t workspace(const plan *p) { return p->workspace; }

const char *run(const plan *p, const bindings &b, void *memory, void *stream) {
  std::vector<const void *> at;
  for (size_t i = 0; i < p->ids.size(); i++) at.push_back(p->names[i] == NO_ROLE ? &p->values[i] : b.at[p->names[i]]);
  const library &l = api();
  descriptor pack = nullptr;
  cudnnStatus_t s = l.cudnnSetStream(handle(), (cudaStream_t)stream);
  const auto then = [&](cudnnStatus_t next) { s = s == CUDNN_STATUS_SUCCESS ? next : s; };
  then(l.cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack));
  if (s == CUDNN_STATUS_SUCCESS) {
    const int64_t n = (int64_t)at.size();
    then(l.cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, p->ids.data()));
    then(l.cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, at.data()));
    then(l.cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &memory));
    then(l.cudnnBackendFinalize(pack));
    if (s == CUDNN_STATUS_SUCCESS) then(l.cudnnBackendExecute(handle(), p->of, pack));
    l.cudnnBackendDestroyDescriptor(pack);
  }
  return s == CUDNN_STATUS_SUCCESS ? nullptr : l.cudnnGetErrorString(s);
}

}  // namespace vbl_cudnn
#endif
