// Storage: memory from the backend's allocator, freed with its last reference; and what the program uses of it.
// defines: vbl_storage_new, vbl_storage_adopt, vbl_storage_retain, vbl_storage_release, vbl_storage_first, vbl_memory, vbl_memory_reset_peak
#include "core/tensor/storage.h"

#include <stdlib.h>

#include "core/tensor/branch.h"
#include "kernels/cpu/cpu.h"
#include "kernels/kernels.h"

// Bytes of tensors on devices; the CPU's are counted by its allocator. What the counting backend counts is none.
static size_t device_live, device_peak;

static void count_device(const vbl_storage *s, bool made) {
  if (s->backend->host || s->backend->counts == NULL) return;
  device_live = made ? device_live + s->bytes : device_live - s->bytes;
  if (device_live > device_peak) device_peak = device_live;
}

static vbl_storage *first;  // of those that live, the youngest

vbl_storage *vbl_storage_first(void) { return first; }

static void enlist(vbl_storage *s) {
  s->next = first;
  if (first != NULL) first->previous = s;
  first = s;
}

static void delist(vbl_storage *s) {
  if (s->next != NULL) s->next->previous = s->previous;
  if (s->previous != NULL)
    s->previous->next = s->next;
  else
    first = s->next;
}

vbl_status vbl_storage_new(const vbl_backend *backend, size_t bytes, vbl_storage **out, vbl_error *err) {
  vbl_storage *s = malloc(sizeof *s);
  if (s == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a tensor record");
  *s = (vbl_storage){.refs = 1, .backend = backend, .bytes = bytes, .dtype = VBL_U8, .user = vbl_memory_used_by()};
  if (bytes > 0) {
    s->data = backend->alloc(bytes);
    if (s->data == NULL) {
      free(s);
      if (!backend->host) VBL_TRY(backend->sync(NULL, err));  // where the device has failed it gives no memory either
      return vbl_memory_refused(backend, bytes, err);
    }
  }
  vbl_branch_made(&s->marks);
  count_device(s, true);
  enlist(s);
  *out = s;
  return VBL_OK;
}

vbl_status vbl_storage_adopt(const vbl_backend *backend, void *data, size_t bytes, vbl_storage **out, vbl_error *err) {
  vbl_storage *s = malloc(sizeof *s);
  if (s == NULL) {
    backend->free(data, bytes);
    return vbl_fail(err, VBL_ENOMEM, "out of memory for a tensor record");
  }
  *s = (vbl_storage){.refs = 1, .backend = backend, .bytes = bytes, .data = data, .dtype = VBL_U8, .user = vbl_memory_used_by()};
  vbl_branch_made(&s->marks);
  count_device(s, true);
  enlist(s);
  *out = s;
  return VBL_OK;
}

void vbl_storage_retain(vbl_storage *s) { s->refs++; }

void vbl_storage_release(vbl_storage *s) {
  if (--s->refs > 0) return;
  if (s->narrow != NULL) vbl_storage_release(s->narrow);
  count_device(s, false);
  delist(s);
  if (s->data != NULL) s->backend->free(s->data, s->bytes);
  free(s);
}

vbl_memory_stats vbl_memory(void) {
  vbl_memory_stats m = vbl_cpu_alloc_stats();
  m.live += device_live;
  m.peak += device_peak;
  if (vbl_plan_backend() != NULL) {  // the collector is to run when it would run for the memory that is counted
    vbl_device_memory counted;
    vbl_plan_backend()->memory(&counted, false);
    m.live += counted.live;
  }
  return m;
}

void vbl_memory_reset_peak(void) {
  vbl_cpu_alloc_reset_peak();
  device_peak = device_live;
  vbl_device_memory ignored;
  if (vbl_backend_opened() != NULL) vbl_backend_opened()->memory(&ignored, true);
}
