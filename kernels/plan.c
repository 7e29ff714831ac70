// The counting backend: a run's steps, taken on a device that has no memory and computes nothing, ask it for exactly the blocks that they
// would ask a real device for, so that what they need is known before there is one. Blocks are counted as the allocators do it: in the same
// sizes, kept when they are freed and handed out again, given back when the limit is met (kernels/cuda/memory.cu, kernels/cpu/alloc.c).
// Kernels that take working memory take it here too; what is small beside a batch (partial sums) is left out. What they would compute and
// move is counted by plan_kernels.c.
// defines: vbl_plan_start, vbl_plan_end, vbl_plan_backend, vbl_plan_short, vbl_plan_scratch, vbl_plan_content
#include "kernels/plan.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/mixed.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

static struct {
  bool open, gpu, scarce;  // scarce: a kernel's working memory did not fit
  size_t least;            // size of the smallest block
  vbl_device_memory now;
  int branch;
  bool apart;
  int64_t idle[3][VBL_BLOCK_CLASSES];  // by branch, and for both
  int64_t later[VBL_BLOCK_CLASSES];    // free when the branches meet
  uintptr_t first, met, next;  // addresses of this count, and of what was taken since they met; those of earlier ones are lower
} count = {.next = (uintptr_t)1 << 40};

static const uintptr_t SECOND = (uintptr_t)1 << 60;  // in the addresses of branch 1's
enum { BOTH = 2 };

static bool fits(size_t more) { return count.now.limit == 0 || more <= count.now.limit - count.now.held; }

static void give_back(void) {
  memset(count.idle, 0, sizeof count.idle);
  memset(count.later, 0, sizeof count.later);
  count.now.held = count.now.live;
}

static size_t most(size_t a, size_t b) { return a > b ? a : b; }

static void *plan_alloc(size_t bytes) {
  if (bytes > PTRDIFF_MAX / 2) return NULL;
  const size_t size = vbl_block_size(bytes, count.least);
  const int class = vbl_block_class(size, count.least);
  if (count.idle[count.branch][class] > 0) {
    count.idle[count.branch][class]--;
  } else if (count.idle[BOTH][class] > 0) {
    count.idle[BOTH][class]--;
  } else {
    if (!fits(size)) give_back();
    if (!fits(size)) return NULL;
    count.now.held += size;
  }
  count.now.live += size;
  count.now.peak = most(count.now.peak, count.now.live);
  count.now.most_held = most(count.now.most_held, count.now.held);
  void *p = (void *)(count.next | (count.branch == 1 ? SECOND : 0));
  count.next += size;
  return p;
}

// What the host copied to the device, where it is no more than the index tables that say where rows stand: what a kernel costs may depend on
// them. Newest first; kept as long as their memory, also when a count ends.
enum { MOST_CONTENT = 1 << 22 };

typedef struct content {
  struct content *next;
  uintptr_t at;
  size_t bytes;
  char data[];
} content;

static content *contents;

static void forget(uintptr_t first, size_t bytes) {
  for (content **c = &contents; *c != NULL;) {
    content *old = *c;
    if (old->at < first || old->at >= first + bytes) {
      c = &old->next;
      continue;
    }
    *c = old->next;
    free(old);
  }
}

const void *vbl_plan_content(const void *p, size_t *bytes) {
  for (const content *c = contents; c != NULL; c = c->next) {
    const size_t into = (uintptr_t)p - c->at;
    if ((uintptr_t)p < c->at || into >= c->bytes) continue;
    *bytes = c->bytes - into;
    return c->data + into;
  }
  return NULL;
}

static void plan_free(void *p, size_t bytes) {
  forget((uintptr_t)p, bytes);
  const uintptr_t at = (uintptr_t)p & ~SECOND;
  if (at < count.first) return;  // NULL, or of an earlier count
  const size_t size = vbl_block_size(bytes, count.least);
  const int class = vbl_block_class(size, count.least), branch = (uintptr_t)p != at;
  count.now.live -= size;
  if (!count.apart || (at >= count.met && branch == count.branch))
    count.idle[count.branch][class]++;
  else
    count.later[class]++;
}

static void plan_branch(int b) {
  count.branch = b;
  count.apart |= b == 1;
}

static void plan_meet(void) {
  for (int class = 0; class < VBL_BLOCK_CLASSES; class ++) {
    count.idle[BOTH][class] += count.idle[0][class] + count.idle[1][class] + count.later[class];
    count.idle[0][class] = count.idle[1][class] = count.later[class] = 0;
  }
  count.met = count.next;
  count.apart = count.branch == 1;
}

static void plan_memory(vbl_device_memory *m, bool reset) {
  *m = count.now;
  if (reset) count.now.peak = count.now.live, count.now.most_held = count.now.held;
}

static void to_host(void *host, const void *device, size_t bytes, vbl_stream s) {
  memset(host, 0, bytes);
  vbl_plan_add("to_host", 0, 0, (double)bytes, 0);
}

// Where there is no memory to keep the content, it is not known.
static void from_host(void *device, const void *host, size_t bytes, vbl_stream s) {
  vbl_plan_add("from_host", 0, 0, 0, (double)bytes);
  if (!count.gpu || bytes == 0 || bytes > MOST_CONTENT) return;
  forget((uintptr_t)device, bytes);
  content *c = malloc(sizeof *c + bytes);
  if (c == NULL) return;
  *c = (content){.next = contents, .at = (uintptr_t)device, .bytes = bytes};
  memcpy(c->data, host, bytes);
  contents = c;
}

static vbl_status plan_sync(vbl_stream s, vbl_error *err) {
  const bool scarce = count.scarce;
  count.scarce = false;
  return scarce ? vbl_fail(err, VBL_EDEVICE, "plan: out of memory for a kernel's own") : VBL_OK;
}

void vbl_plan_short(void) { count.scarce = true; }

void vbl_plan_scratch(int blocks, const size_t *bytes) {
  void *p[3];
  for (int i = 0; i < blocks; i++) {
    p[i] = bytes[i] > 0 ? plan_alloc(bytes[i]) : NULL;
    count.scarce |= bytes[i] > 0 && p[i] == NULL;
  }
  for (int i = 0; i < blocks; i++)
    if (p[i] != NULL) plan_free(p[i], bytes[i]);
}

struct vbl_reading {
  size_t bytes;
};

// A device's host does not wait, and asks for other work than one that does.
static vbl_reading *read_later(const void *device, size_t bytes, bool watched, vbl_stream s) {
  vbl_reading *r = malloc(sizeof *r);
  if (r == NULL) return vbl_plan_short(), NULL;
  r->bytes = bytes;
  if (watched) vbl_plan_add("watch", 1, 0, (double)bytes, 0);
  vbl_plan_add("to_host", 0, 0, (double)bytes, 0);
  return r;
}

static vbl_status read(vbl_reading *r, void *host, vbl_error *err) {
  if (host != NULL) memset(host, 0, r->bytes);
  free(r);
  return VBL_OK;
}

static void calm(vbl_stream s) { vbl_plan_add("fill", 1, 0, 0, sizeof(int32_t)); }

static vbl_backend plan = {
    .name = "plan",
    .host = false,
    .isa = "counts",
    .alloc = plan_alloc,
    .free = plan_free,
    .to_host = to_host,
    .from_host = from_host,
    .sync = plan_sync,
    .memory = plan_memory,
};

void vbl_plan_start(bool gpu, size_t limit) {
  plan.mixed = gpu ? &vbl_plan_mixed : NULL;
  plan.branch = gpu ? plan_branch : NULL;
  plan.meet = gpu ? plan_meet : NULL;
  plan.read_later = gpu ? read_later : NULL;
  plan.read = gpu ? read : NULL;
  plan.calm = gpu ? calm : NULL;
  vbl_plan_kernels(&plan, gpu);
  vbl_plan_work_start(gpu);
  memset(count.idle, 0, sizeof count.idle);
  memset(count.later, 0, sizeof count.later);
  count.branch = 0;
  count.apart = false;
  count.open = true;
  count.gpu = gpu;
  count.scarce = false;
  count.least = gpu ? VBL_BLOCK_LEAST : VBL_BLOCK_LEAST_CPU;
  count.now = (vbl_device_memory){.limit = limit};
  count.first = count.met = count.next;
}

void vbl_plan_end(void) { count.open = false; }

const vbl_backend *vbl_plan_backend(void) { return count.open ? &plan : NULL; }
