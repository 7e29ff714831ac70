// A trace of what a program has a GPU do: each kernel, copy and fill, as a line of TSV. A library that the driver loads into the program:
//   CUDA_INJECTION64_PATH=build-cuda/libgpu_trace.so TRACE=trace.tsv build-cuda/vbl tests/bench/gpu_steps.lua
//   python3 tests/bench/gpu_trace.py trace.tsv
// Columns: start and end in ns, stream, blocks, threads a block, registers a thread, bytes (of shared memory; of a copy or fill), name.
// CUPTI serialises nothing here; a step takes about a hundredth longer.
#include <cupti.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static FILE *out;

static void line(uint64_t start, uint64_t end, uint32_t stream, int64_t blocks, int threads, int registers, uint64_t bytes,
                 const char *name) {
  fprintf(out, "%" PRIu64 "\t%" PRIu64 "\t%" PRIu32 "\t%" PRId64 "\t%d\t%d\t%" PRIu64 "\t%s\n", start, end, stream, blocks, threads,
          registers, bytes, name);
}

static void write(CUpti_Activity *record) {
  if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
    const CUpti_ActivityKernel10 *k = (const CUpti_ActivityKernel10 *)record;
    line(k->start, k->end, k->streamId, (int64_t)k->gridX * k->gridY * k->gridZ, k->blockX * k->blockY * k->blockZ,
         k->registersPerThread, (uint64_t)k->staticSharedMemory + (uint64_t)k->dynamicSharedMemory, k->name);
  } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
    const CUpti_ActivityMemcpy6 *m = (const CUpti_ActivityMemcpy6 *)record;
    static const char *const kinds[] = {"copy", "copy to the device", "copy to the host"};
    line(m->start, m->end, m->streamId, 0, 0, 0, m->bytes, kinds[m->copyKind <= 2 ? m->copyKind : 0]);
  } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
    const CUpti_ActivityMemset4 *m = (const CUpti_ActivityMemset4 *)record;
    line(m->start, m->end, m->streamId, 0, 0, 0, m->bytes, "memset");
  }
}

static void requested(uint8_t **buffer, size_t *size, size_t *records) {
  *size = (size_t)8 << 20;
  *buffer = aligned_alloc(64, *size);
  *records = 0;  // as many as fit
  if (*buffer == NULL) *size = 0;
}

static void completed(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid) {
  CUpti_Activity *record = NULL;
  size_t dropped = 0;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) write(record);
  if (cuptiActivityGetNumDroppedRecords(context, stream, &dropped) == CUPTI_SUCCESS && dropped > 0)
    fprintf(stderr, "gpu_trace: CUPTI dropped %zu records (buffers of %zu bytes)\n", dropped, size);
  free(buffer);
}

static void at_end(void) {
  cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  if (fclose(out) != 0) perror("gpu_trace");
}

// Called by the driver when the program first uses it.
int InitializeInjection(void) {
  static const CUpti_ActivityKind kinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
                                             CUPTI_ACTIVITY_KIND_MEMSET};
  const char *path = getenv("TRACE") != NULL ? getenv("TRACE") : "trace.tsv";
  out = fopen(path, "w");
  if (out == NULL) return perror(path), 0;
  bool good = cuptiActivityRegisterCallbacks(requested, completed) == CUPTI_SUCCESS;
  for (int i = 0; i < 3; i++) good = good && cuptiActivityEnable(kinds[i]) == CUPTI_SUCCESS;
  if (!good) fprintf(stderr, "gpu_trace: CUPTI cannot trace this program\n");
  return atexit(at_end) == 0 && good;
}
