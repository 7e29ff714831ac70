// Attention as a graph: forward and backward of softmax(scale Q K') V with bf16 operands and f32 sums, in the form that cuDNN recognises
// and fuses (Dao 2023, FlashAttention-2, computes it so).
// defines: vbl_graph::{layout, pitches, sdpa, sdpa_forward, sdpa_backward}
#pragma once
#include "kernels/cuda/graph.h"

namespace vbl_graph {

// How the rows of the samples lie. EVEN: [B, S, H, d], no sample shorter. PADDED: the same, sample b has LENGTHS_Q[b], LENGTHS_K[b] rows.
// RAGGED: [rows, H, d] without padding, sample b from element OFFSETS_*[b] on; S is the longest.
enum layout { EVEN, PADDED, RAGGED };

// Elements from one row to the next: H d, or more where rows are column blocks of a wider matrix.
struct pitches {
  int64_t q, k, v, o /* and DO */, dq, dk, dv;
};

struct sdpa {
  int64_t B, H, d, S_q, S_k;
  layout rows;
  double p;  // dropout of the probabilities; 0: none
  bool
      ordered;  // backward: dq's sums in a fixed order, else by atomic additions into DQ_SUM (f32 [B, H, S_q, d], need not be zeroed)
  pitches ld;  // all 0: H d
};

// O = (softmax(scale Q K') m) V, STATS = max + log sum of each row: f32 [B, H, S_q] (EVEN, PADDED), for kernels of cuDNN's before 9.26 take no notice of
// other strides, or [rows, H] (RAGGED).
void sdpa_forward(const sdpa &a, float scale, graph *g);
// DQ, DK, DV from DO, O and STATS. DELTA f32 [B, H, S_q] is scratch.
void sdpa_backward(const sdpa &a, float scale, graph *g);

}  // namespace vbl_graph
