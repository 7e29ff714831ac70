// What is said when there is no memory: what was asked for, what is free, the largest tensors that live, and what needs less.
// defines: vbl_memory_use, vbl_memory_used_by, vbl_memory_refused
#include <stdio.h>
#include <string.h>

#include "core/tensor/storage.h"
#include "kernels/kernels.h"

static vbl_memory_user user;

vbl_memory_user vbl_memory_use(vbl_memory_user next) {
  const vbl_memory_user old = user;
  user = next;
  return old;
}

vbl_memory_user vbl_memory_used_by(void) { return user; }

// Live storages of one size, dtype, shape and user.
typedef struct kind {
  const vbl_storage *first;
  size_t bytes;
  int count;
} kind;

enum { KINDS = 128, SHOWN = 4 };

static bool alike(const vbl_storage *a, const vbl_storage *b) {
  return a->bytes == b->bytes && a->dtype == b->dtype && a->ndim == b->ndim &&
         memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0 && a->user.what == b->user.what &&
         a->user.backward == b->user.backward;
}

static int find_kinds(const vbl_backend *memory, kind *kinds) {
  int n = 0;
  for (const vbl_storage *s = vbl_storage_first(); s != NULL; s = s->next) {
    int k = 0;
    if (s->backend != memory || s->bytes == 0) continue;
    while (k < n && !alike(kinds[k].first, s)) k++;
    if (k == KINDS) continue;
    if (k == n) kinds[n++] = (kind){.first = s};
    kinds[k].bytes += s->bytes;
    kinds[k].count++;
  }
  return n;
}

// "12 x f32 [9456, 3072] of linear, 1329.8 MiB"
static int describe(const kind *k, char *text, size_t size) {
  char shape[VBL_SHAPE_TEXT], count[16] = "";
  const vbl_storage *s = k->first;
  if (k->count > 1) snprintf(count, sizeof count, "%d x ", k->count);
  return snprintf(text, size, "%s%s %s%s%s, %.1f MiB", count, vbl_dtype_name(s->dtype), vbl_shape_text(s->ndim, s->shape, shape),
                  s->user.what == NULL ? ""
                  : s->user.backward   ? " of the backward of "
                                       : " of ",
                  s->user.what == NULL ? "" : s->user.what, (double)k->bytes / 0x1p20);
}

static void list_largest(const vbl_backend *memory, char *text, size_t size) {
  kind kinds[KINDS];
  int n = find_kinds(memory, kinds), used = 0;
  text[0] = '\0';
  for (int i = 0; i < SHOWN && i < n; i++) {
    int best = i;
    for (int k = i + 1; k < n; k++)
      if (kinds[k].bytes > kinds[best].bytes) best = k;
    const kind largest = kinds[best];
    kinds[best] = kinds[i], kinds[i] = largest;
    if ((size_t)used < size) used += snprintf(text + used, size - (size_t)used, "%s", i == 0 ? "; the largest tensors are " : "; ");
    if ((size_t)used < size) used += describe(&largest, text + used, size - (size_t)used);
  }
}

vbl_status vbl_memory_refused(const vbl_backend *memory, size_t bytes, vbl_error *err) {
  char largest[400], room[96] = "";  // an error holds 765 characters beside its place
  vbl_device_memory m;
  list_largest(memory, largest, sizeof largest);
  if (memory->memory != NULL) {
    memory->memory(&m, false);
    if (m.limit > 0)
      snprintf(room, sizeof room, ", %.1f of %.1f MiB free", (double)(m.limit - m.live) / 0x1p20, (double)m.limit / 0x1p20);
  } else {
    snprintf(room, sizeof room, ", %.1f MiB in use", (double)vbl_memory().live / 0x1p20);
  }
  return vbl_fail(err, VBL_ENOMEM,
                  "%s: out of memory for %.1f MiB%s%s. Less is needed with a smaller micro_batch (the gradient stays the batch's), "
                  "with checkpointing=true, with precision=bf16, or with a smaller batch, image or model.preset",
                  memory->name, (double)bytes / 0x1p20, room, largest);
}
