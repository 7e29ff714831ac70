// Plans of cuDNN's from graphs (graph.h). cuDNN is opened when it is first asked for: what needs it says what is missing, the rest runs
// without. Oldest version: 9.15.1 (before it, the backward of attention with S % 128 != 0 reads outside its memory under graph replay).
// defines: vbl_cudnn::{missing, version, supports, plan, make, run}
#pragma once
#include <stddef.h>

#include "kernels/cuda/graph.h"

namespace vbl_cudnn {

const char *missing();  // NULL, or one sentence: cuDNN is not here, or too old
int version();          // 91900 is 9.19.0; 0: not here

// Whether an engine of cuDNN's takes the graph, by its own check, without building a plan. device: the JSON description of one that need
// not be here (NULL: the current one). false: `why` says it.
bool supports(const vbl_graph::graph &g, const char *device, char *why, size_t size);

struct plan;                                                    // for the current device
plan *make(const vbl_graph::graph &g, char *why, size_t size);  // NULL: `why` says it
void drop(plan *p);                                             // one that is not used after all; NULL is allowed
size_t workspace(const plan *p);
// In stream order, on 16-byte aligned pointers. NULL, or what failed.
const char *run(const plan *p, const vbl_graph::bindings &b, void *workspace, void *stream);

}  // namespace vbl_cudnn
