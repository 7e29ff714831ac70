// Two branches of work that a device may do side by side (kernels.h: branch, meet), and what keeps that right: each piece of memory knows
// after which meeting either branch read and wrote it last. What is queued in one branch and needs what the other did since they met makes them
// meet first, so results are those of one branch, whatever is put where. Without a device, or with one that has no branches, all is in branch 0.
//
// Whoever queues work while the branches are apart says what it reads and writes: ops do (core/tape), and copies and fills of tensors. All other
// work is queued when they have met: side_by_side and backward end so.
// defines: vbl_branch, vbl_branch_now, vbl_branches_{one, apart, meet, join}, vbl_branch_meeting, vbl_branch_{await, note, made, settle}
#pragma once
#include "core/tensor/tensor.h"

int vbl_branch(int b);           // what is queued from now on goes to branch b (0 or 1). Returns where it went before
void vbl_branches_one(bool on);  // from now on all work goes to branch 0, whatever is asked for: for who measures it
int vbl_branch_now(void);        // where it goes
bool vbl_branches_apart(void);
void vbl_branches_meet(void);       // where they are apart: all that is queued is done before what either branch queues from now on
void vbl_branches_join(void);       // and in branch 0 all work may be queued again, whatever it touches
uint64_t vbl_branch_meeting(void);  // the number of the last meeting

// await: the branches meet if the current one has to wait before it reads (writes) this. note: it is about to. An op awaits all that it reads
// before it notes any; where it made them meet after that (to write), settle makes them meet once more behind it, since its notes are of before.
void vbl_branch_await(const vbl_marks *m, bool write);
void vbl_branch_note(vbl_marks *m, bool write);
void vbl_branch_made(vbl_marks *m);        // new memory, of the current branch
void vbl_branch_settle(uint64_t meeting);  // behind an op that began after this meeting
