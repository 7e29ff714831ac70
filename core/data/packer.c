// The packer: threads that take the missing shards one by one.
// defines: vbl_packer_{new,wait,free}
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "core/base/interrupt.h"
#include "core/data/packed.h"
#include "core/store/atomic.h"
#include "core/store/file.h"

struct vbl_packer {
  vbl_pack pack;
  char *folder;
  int32_t *split;
  int lock;  // the folder, locked against a second packer
  int32_t shards;
  atomic_int next;
  atomic_llong done, kept, bad;
  atomic_bool stop;
  pthread_t *thread;
  int threads, running;
  pthread_mutex_t mutex;  // guards running, failed, error
  pthread_cond_t changed;
  int32_t failed;  // the lowest shard that failed, or `shards`
  vbl_error error;
};

// Whether the shard is there and whole. VBL_EINVAL: it is of another set.
static vbl_status look(vbl_packer *p, int32_t number, bool *whole, vbl_error *err) {
  char path[PATH_MAX];
  vbl_shard s;
  *whole = false;
  snprintf(path, sizeof path, "%s/" VBL_PACK_NAME, p->folder, number);
  if (access(path, F_OK) != 0) return VBL_OK;
  if (vbl_shard_open(path, &s, NULL) != VBL_OK) return VBL_OK;  // damaged: made anew
  bool same = s.header->identity == p->pack.identity && s.header->number == (uint32_t)number;
  *whole = same && vbl_shard_verify(&s) == 0;
  for (uint32_t i = 0; *whole && i < s.header->samples; i++)
    if (vbl_shard_offset(&s, VBL_PACK_WHY_AT, i + 1) > vbl_shard_offset(&s, VBL_PACK_WHY_AT, i)) atomic_fetch_add(&p->bad, 1);
  if (*whole) atomic_fetch_add(&p->done, (long long)s.header->samples), atomic_fetch_add(&p->kept, (long long)s.header->samples);
  vbl_shard_close(&s);
  if (same) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL,
                  "%s belongs to another data set, or was packed with other options; choose another folder or remove it", path);
}

static vbl_status make(vbl_packer *p, int32_t number, vbl_error *err) {
  bool whole;
  VBL_TRY(look(p, number, &whole, err));
  return whole ? VBL_OK : vbl_pack_write(&p->pack, number, &p->done, &p->bad, &p->stop, err);
}

static void *run(void *argument) {
  vbl_packer *p = argument;
  for (int32_t number; !atomic_load(&p->stop) && (number = atomic_fetch_add(&p->next, 1)) < p->shards;) {
    vbl_error err;
    vbl_status status = make(p, number, &err);
    if (status == VBL_OK) continue;
    pthread_mutex_lock(&p->mutex);
    if (status != VBL_EINTERRUPT && number < p->failed) {
      p->failed = number;
      p->error = err;
    }
    pthread_mutex_unlock(&p->mutex);
    atomic_store(&p->stop, true);
  }
  pthread_mutex_lock(&p->mutex);
  p->running--;
  pthread_cond_broadcast(&p->changed);
  pthread_mutex_unlock(&p->mutex);
  return NULL;
}

// split [samples]: the number of each sample's split.
static vbl_status find_splits(const vbl_source *s, int32_t *split, vbl_error *err) {
  for (int32_t i = 0; i < s->samples; i++) split[i] = -1;
  for (int32_t k = 0; k < s->splits; k++)
    for (int32_t i = 0; i < s->split[k].n; i++) {
      int32_t *of = &split[s->split[k].sample[i]];
      if (*of >= 0)
        return vbl_fail(err, VBL_EINVAL, "pack: sample %d is in two splits, %s and %s", s->split[k].sample[i] + 1,
                        s->split[*of].name, s->split[k].name);
      *of = k;
    }
  return VBL_OK;
}

static vbl_status lock_folder(vbl_packer *p, vbl_error *err) {
  p->lock = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (p->lock < 0) return vbl_fail_errno(err, "open folder", p->folder);
  if (flock(p->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return vbl_fail(err, VBL_EIO, "%s: another process is packing into it", p->folder);
  return vbl_clean_stale(p->folder, NULL, err);
}

// Signals go to the interpreter's thread, never to these.
static vbl_status start(vbl_packer *p, int threads, vbl_error *err) {
  sigset_t all, old;
  p->thread = malloc((size_t)threads * sizeof *p->thread);
  if (p->thread == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d threads", threads);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  p->running = threads;
  while (p->threads < threads && pthread_create(&p->thread[p->threads], NULL, run, p) == 0) p->threads++;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (p->threads == threads) return VBL_OK;
  return vbl_fail(err, VBL_ENOMEM, "pack: thread %d of %d could not be started", p->threads + 1, threads);
}

static vbl_status prepare(vbl_packer *p, const char *folder, int threads, vbl_error *err) {
  p->folder = strdup(folder);
  p->split = malloc((size_t)p->pack.source->samples * sizeof *p->split + 1);
  if (p->folder == NULL || p->split == NULL)
    return vbl_fail(err, VBL_ENOMEM, "out of memory for %d samples", p->pack.source->samples);
  p->pack.folder = p->folder;
  p->pack.split = p->split;
  VBL_TRY(find_splits(p->pack.source, p->split, err));
  VBL_TRY(lock_folder(p, err));
  return start(p, threads, err);
}

vbl_status vbl_packer_new(const vbl_source *source, const char *folder, uint64_t identity, int32_t shard_samples,
                          int64_t allowed_bad, int threads, vbl_packer **out, vbl_error *err) {
  *out = NULL;
  if (shard_samples < 1) return vbl_fail(err, VBL_EINVAL, "pack: shard = %d samples; expected at least 1", shard_samples);
  if (threads < 1 || threads > 256) return vbl_fail(err, VBL_EINVAL, "pack: threads = %d; expected 1 to 256", threads);
  vbl_packer *p = calloc(1, sizeof *p);
  if (p == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a packer");
  p->pack = (vbl_pack){.source = source, .identity = identity, .shard_samples = shard_samples, .allowed_bad = allowed_bad};
  p->shards = p->failed = (int32_t)(((int64_t)source->samples + shard_samples - 1) / shard_samples);
  p->lock = -1;
  pthread_mutex_init(&p->mutex, NULL);
  pthread_condattr_t clock;
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&p->changed, &clock);
  pthread_condattr_destroy(&clock);
  vbl_status status = prepare(p, folder, threads, err);
  if (status != VBL_OK) {
    vbl_packer_free(p);
    return status;
  }
  *out = p;
  return VBL_OK;
}

vbl_status vbl_packer_wait(vbl_packer *p, double seconds, bool *finished, int64_t *done, int64_t *kept, vbl_error *err) {
  struct timespec now, until;
  vbl_status status = VBL_OK;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t end = now.tv_sec * 1000000000LL + now.tv_nsec + (int64_t)(seconds * 1e9);
  pthread_mutex_lock(&p->mutex);
  // In steps of 50 ms, looking for Ctrl-C.
  while (p->running > 0) {
    status = vbl_interrupt_check(err);
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t t = now.tv_sec * 1000000000LL + now.tv_nsec;
    if (status != VBL_OK || t >= end) break;
    t = t + 50000000 < end ? t + 50000000 : end;
    until = (struct timespec){t / 1000000000, t % 1000000000};
    pthread_cond_timedwait(&p->changed, &p->mutex, &until);
  }
  *finished = p->running == 0;
  if (status == VBL_OK && *finished && p->failed < p->shards) status = vbl_fail(err, p->error.code, "%s", p->error.message);
  pthread_mutex_unlock(&p->mutex);
  *done = atomic_load(&p->done);
  *kept = atomic_load(&p->kept);
  return status;
}

void vbl_packer_free(vbl_packer *p) {
  if (p == NULL) return;
  atomic_store(&p->stop, true);
  for (int i = 0; i < p->threads; i++) pthread_join(p->thread[i], NULL);
  if (p->lock >= 0) close(p->lock);
  pthread_mutex_destroy(&p->mutex);
  pthread_cond_destroy(&p->changed);
  free(p->thread);
  free(p->split);
  free(p->folder);
  free(p);
}
