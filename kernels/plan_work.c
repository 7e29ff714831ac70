// defines: vbl_plan_work, vbl_plan_work_start, vbl_plan_add
#include <stdlib.h>

#include "core/tensor/storage.h"
#include "kernels/plan.h"

static struct {
  bool on;
  vbl_work *row;
  int count, room;
} work;

void vbl_plan_work_start(bool on) {
  work.on = on;
  work.count = 0;
}

const vbl_work *vbl_plan_work(int *count) {
  *count = work.count;
  return work.row;
}

// Names are compared by their address: the same text from another place makes a row of its own.
static bool alike(const vbl_work *a, const vbl_work *b) {
  return a->kernel == b->kernel && a->op == b->op && a->backward == b->backward && a->launches == b->launches &&
         a->flops == b->flops && a->read == b->read && a->written == b->written;
}

void vbl_plan_add(const char *kernel, int launches, double flops, double read, double written) {
  const vbl_memory_user user = vbl_memory_used_by();
  const vbl_work call = {kernel, user.what, user.backward, 1, launches, flops, read, written};
  if (!work.on || flops + read + written == 0) return;  // nothing is launched for nothing
  for (int i = 0; i < work.count; i++) {
    if (!alike(&work.row[i], &call)) continue;
    work.row[i].calls++;
    return;
  }
  if (work.count == work.room) {
    const int room = work.room > 0 ? 2 * work.room : 256;
    vbl_work *larger = realloc(work.row, (size_t)room * sizeof *larger);
    if (larger == NULL) return vbl_plan_short();
    work.row = larger;
    work.room = room;
  }
  work.row[work.count++] = call;
}
