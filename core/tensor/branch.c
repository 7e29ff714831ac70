// defines: vbl_branch, vbl_branch_now, vbl_branches_{one, apart, meet, join}, vbl_branch_meeting, vbl_branch_{await, note, made, settle}
#include "core/tensor/branch.h"

#include "kernels/kernels.h"

static int current;
static bool one;    // all work goes to branch 0
static bool apart;  // from branch 1's first work to the join
static uint64_t meeting = 1;

static const vbl_backend *device(void) {
  const vbl_backend *d = vbl_plan_backend() != NULL ? vbl_plan_backend() : vbl_backend_opened();
  return d != NULL && d->branch != NULL ? d : NULL;
}

static void meet(void) {
  device()->meet();
  meeting++;
}

int vbl_branch(int b) {
  const int before = current;
  const vbl_backend *d = device();
  if (one) b = 0;
  if (d == NULL || b == before) return before;
  if (b == 1 && !apart) meet();
  apart |= b == 1;
  d->branch(current = b);
  return before;
}

void vbl_branches_one(bool on) {
  one = on;
  if (on) vbl_branch(0);
  if (on) vbl_branches_join();
}

int vbl_branch_now(void) { return current; }

bool vbl_branches_apart(void) { return apart; }

void vbl_branches_meet(void) {
  if (apart) meet();
}

void vbl_branches_join(void) {
  vbl_branches_meet();
  apart = current == 1;
}

uint64_t vbl_branch_meeting(void) { return meeting; }

void vbl_branch_await(const vbl_marks *m, bool write) {
  const int other = 1 - current;
  if (apart && (m->written[other] == meeting || (write && m->read[other] == meeting))) meet();
}

void vbl_branch_note(vbl_marks *m, bool write) { *(write ? &m->written[current] : &m->read[current]) = meeting; }

void vbl_branch_made(vbl_marks *m) { vbl_branch_note(m, true); }

void vbl_branch_settle(uint64_t before) {
  if (meeting != before) vbl_branches_meet();
}
