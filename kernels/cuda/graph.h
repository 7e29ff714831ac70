// A graph of tensor operations as data: what attention is made of before it becomes a plan of cuDNN's (cudnn.cu) or, in tests, is computed
// node by node on the CPU (kernels/emu/graph.cc). Host code only; no header of CUDA.
//
// All tensors have four dims [B, H, S, D]. The operations and what they mean are cuDNN's backend operations of the same names.
// defines: vbl_graph::{dtype, kind, role, function, tensor, node, graph}
#pragma once
#include <stdint.h>

namespace vbl_graph {

enum dtype { F32, BF16, I32, I64, BOOL };
enum kind { REAL /* in memory */, VIRTUAL /* between two nodes */, SCALAR /* one f32 of the host, `value` */ };

// What a REAL tensor is, so that callers bind pointers by name.
enum role {
  Q,
  K,
  V,
  O,
  STATS,
  DO,
  DQ,
  DK,
  DV,
  DELTA,
  DQ_SUM,
  OFFSETS_Q,
  OFFSETS_K,
  OFFSETS_STATS,
  LENGTHS_Q,
  LENGTHS_K,
  SEED,
  OFFSET,
  ROLES,
  NO_ROLE
};

struct tensor {
  dtype T;
  kind where;
  role name;
  int64_t dim[4], stride[4];  // in elements
  int ragged;                 // the tensor (I64 [B+1]) of the first element of each b, in place of stride[0] b; -1: none
  int lengths;                // where ragged: the tensor (I32 [B]) of the rows that b has
  float value;
};

enum function {
  MATMUL,
  TRANSPOSE,
  KEEP,
  MAX_OF,
  SUM_OF,
  ADD,
  SUB,
  MUL,
  DIV,
  EXP,
  LOG,
  COPY,
  ROW_INDEX,
  COLUMN_INDEX,
  LESS,
  AND,
  SELECT
};

struct node {
  function f;
  int in[3], out;  // tensors; -1: none.  SELECT: in[2] ? in[0] : in[1]
  int m, n, k;     // MATMUL: tensors (I32 [B]) that bound the rows, columns and summands of each b; -1: none
  bool zeros;      // MATMUL: rows and columns past a bound are 0 (else undefined)
  double p;        // KEEP: the probability of a 1; in = {shape, seed, offset}
};

enum { MOST_TENSORS = 96, MOST_NODES = 40 };

struct graph {
  int tensors, nodes;
  tensor t[MOST_TENSORS];
  node n[MOST_NODES];
};

// Where the REAL tensors are, by role; SCALARs are in the graph.
struct bindings {
  void *at[ROLES];
};

}  // namespace vbl_graph
