// Storage: memory from the backend's allocator, freed with its last reference; and what the program uses of it.
// defines: vbl_storage_new, vbl_storage_retain, vbl_storage_release, vbl_memory, vbl_memory_reset_peak
#include "core/tensor/storage.h"

#include <stdlib.h>

#include "kernels/cpu/cpu.h"
#include "kernels/kernels.h"

// Bytes of tensors on devices; the CPU's are counted by its allocator.
static size_t device_live, device_peak;

static void count_device(const vbl_storage *s, bool made) {
  if (s->backend->host) return;
  device_live = made ? device_live + s->bytes : device_live - s->bytes;
  if (device_live > device_peak) device_peak = device_live;
}

vbl_status vbl_storage_new(const vbl_backend *backend, size_t bytes, vbl_storage **out, vbl_error *err) {
  vbl_storage *s = malloc(sizeof *s);
  if (s == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a tensor record");
  *s = (vbl_storage){.refs = 1, .backend = backend, .bytes = bytes};
  if (bytes > 0) {
    s->data = backend->alloc(bytes);
    if (s->data == NULL) {
      free(s);
      vbl_memory_stats m = vbl_memory();
      return vbl_fail(err, VBL_ENOMEM, "%s: out of memory for %.1f MiB (%.1f MiB in use); a smaller micro-batch needs less",
                      backend->name, (double)bytes / 0x1p20, (double)m.live / 0x1p20);
    }
  }
  count_device(s, true);
  *out = s;
  return VBL_OK;
}

void vbl_storage_retain(vbl_storage *s) { s->refs++; }

void vbl_storage_release(vbl_storage *s) {
  if (--s->refs > 0) return;
  if (s->narrow != NULL) vbl_storage_release(s->narrow);
  count_device(s, false);
  if (s->data != NULL) s->backend->free(s->data, s->bytes);
  free(s);
}

vbl_memory_stats vbl_memory(void) {
  vbl_memory_stats m = vbl_cpu_alloc_stats();
  m.live += device_live;
  m.peak += device_peak;
  return m;
}

void vbl_memory_reset_peak(void) {
  vbl_cpu_alloc_reset_peak();
  device_peak = device_live;
}
