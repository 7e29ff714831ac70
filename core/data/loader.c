// The loader: a list of jobs in the order of submission; threads take items from the first `ahead` of them.
// One mutex guards the list and each job's counters; the items themselves are made outside of it.
// defines: vbl_loader_{new,submit,next,waiting,free}
#include "core/data/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/interrupt.h"

typedef struct job {
  struct job *next;
  vbl_making making;
  bool started;     // has its memory
  int32_t given;    // items handed to threads
  int32_t working;  // items in work
  int32_t failed;   // the first item that failed, or B; its error counts, whichever came first in time
  vbl_error error;
} job;

struct vbl_loader {
  vbl_view view;
  int32_t *sample;  // the view's list
  int ahead, threads;
  pthread_t *thread;
  pthread_mutex_t mutex;
  pthread_cond_t work, done;  // something to do; an item finished
  job *first, **last;
  int64_t waiting;
  bool stop;
};

static bool job_open(const job *j) { return j->given < j->making.B && j->given < j->failed; }

// The first of the jobs in reach that has an item left, or NULL.
static job *find_work(const vbl_loader *l) {
  int reach = l->ahead;
  for (job *j = l->first; j != NULL && reach > 0; j = j->next, reach--)
    if (job_open(j)) return j;
  return NULL;
}

static void note(job *j, int32_t item, vbl_status status, const vbl_error *err) {
  if (status == VBL_OK || item >= j->failed) return;
  j->failed = item;
  j->error = *err;
}

static void *run(void *argument) {
  vbl_loader *l = argument;
  pthread_mutex_lock(&l->mutex);
  while (!l->stop) {
    job *j = find_work(l);
    if (j == NULL) {
      pthread_cond_wait(&l->work, &l->mutex);
      continue;
    }
    vbl_error err;
    if (!j->started) {
      j->started = true;
      note(j, 0, vbl_making_start(&l->view, &j->making, &err), &err);
      pthread_cond_broadcast(&l->done);
      continue;
    }
    int32_t item = j->given++;
    j->working++;
    pthread_mutex_unlock(&l->mutex);
    vbl_status status = vbl_making_item(&l->view, &j->making, item, &err);
    pthread_mutex_lock(&l->mutex);
    note(j, item, status, &err);
    j->working--;
    if (j->working == 0 && !job_open(j)) pthread_cond_broadcast(&l->done);
  }
  pthread_mutex_unlock(&l->mutex);
  return NULL;
}

// Signals go to the interpreter's thread, never to these.
static vbl_status start_threads(vbl_loader *l, int threads, vbl_error *err) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  while (l->threads < threads && pthread_create(&l->thread[l->threads], NULL, run, l) == 0) l->threads++;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return l->threads == threads ? VBL_OK
                               : vbl_fail(err, VBL_ENOMEM, "loader: thread %d of %d could not be started", l->threads + 1, threads);
}

vbl_status vbl_loader_new(const vbl_view *view, int threads, int ahead, vbl_loader **out, vbl_error *err) {
  *out = NULL;
  if (threads < 1 || threads > 256) return vbl_fail(err, VBL_EINVAL, "loader: threads = %d; expected 1 to 256", threads);
  if (view->n < 1) return vbl_fail(err, VBL_EINVAL, "loader: the split has no samples");
  if (ahead < 1) return vbl_fail(err, VBL_EINVAL, "loader: ahead = %d; expected at least 1", ahead);
  vbl_loader *l = calloc(1, sizeof *l);
  if (l == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a loader");
  pthread_condattr_t clock;
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_mutex_init(&l->mutex, NULL);
  pthread_cond_init(&l->work, NULL);
  pthread_cond_init(&l->done, &clock);
  pthread_condattr_destroy(&clock);
  l->last = &l->first;
  l->ahead = ahead;
  l->sample = malloc((size_t)view->n * sizeof *l->sample);
  l->thread = malloc((size_t)threads * sizeof *l->thread);
  vbl_status status = VBL_OK;
  if (l->sample == NULL || l->thread == NULL) {
    status = vbl_fail(err, VBL_ENOMEM, "out of memory for a loader");
  } else {
    memcpy(l->sample, view->sample, (size_t)view->n * sizeof *l->sample);
    l->view = (vbl_view){view->source, l->sample, view->n};
    status = start_threads(l, threads, err);
  }
  if (status != VBL_OK) {
    vbl_loader_free(l);
    return status;
  }
  *out = l;
  return VBL_OK;
}

static void job_free(job *j) {
  vbl_making_free(&j->making);
  free(j);
}

vbl_status vbl_loader_submit(vbl_loader *l, const vbl_request *request, vbl_error *err) {
  job *j = calloc(1, sizeof *j);
  if (j == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a request");
  vbl_status status = vbl_making_new(&l->view, request, &j->making, err);
  if (status != VBL_OK) {
    free(j);
    return status;
  }
  j->failed = j->making.B;
  pthread_mutex_lock(&l->mutex);
  *l->last = j;
  l->last = &j->next;
  l->waiting++;
  pthread_cond_broadcast(&l->work);
  pthread_mutex_unlock(&l->mutex);
  return VBL_OK;
}

// Waits for the first job, looking for Ctrl-C twenty times a second. The mutex is held.
static vbl_status wait_first(vbl_loader *l, vbl_error *err) {
  while (l->first->working > 0 || job_open(l->first)) {
    struct timespec until;
    VBL_TRY(vbl_interrupt_check(err));
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 50000000;
    if (until.tv_nsec >= 1000000000) {
      until.tv_nsec -= 1000000000;
      until.tv_sec++;
    }
    pthread_cond_timedwait(&l->done, &l->mutex, &until);
  }
  return VBL_OK;
}

vbl_status vbl_loader_next(vbl_loader *l, vbl_bad_images *bad, vbl_batch *out, vbl_error *err) {
  *out = (vbl_batch){0};
  pthread_mutex_lock(&l->mutex);
  job *j = l->first;
  vbl_status status =
      j == NULL ? vbl_fail(err, VBL_EINVAL, "loader: next() without a batch submitted; call submit first") : wait_first(l, err);
  if (status == VBL_OK) {
    l->first = j->next;
    if (l->first == NULL) l->last = &l->first;
    l->waiting--;
    pthread_cond_broadcast(&l->work);  // one more job is in reach
  }
  pthread_mutex_unlock(&l->mutex);
  if (status != VBL_OK) return status;
  if (j->failed < j->making.B)
    status = vbl_fail(err, j->error.code, "%s", j->error.message);
  else
    status = vbl_making_finish(&l->view, &j->making, bad, out, err);
  job_free(j);
  return status;
}

int64_t vbl_loader_waiting(vbl_loader *l) {
  pthread_mutex_lock(&l->mutex);
  int64_t n = l->waiting;
  pthread_mutex_unlock(&l->mutex);
  return n;
}

void vbl_loader_free(vbl_loader *l) {
  if (l == NULL) return;
  pthread_mutex_lock(&l->mutex);
  l->stop = true;
  pthread_cond_broadcast(&l->work);
  pthread_mutex_unlock(&l->mutex);
  for (int i = 0; i < l->threads; i++) pthread_join(l->thread[i], NULL);
  for (job *j = l->first, *next; j != NULL; j = next) {
    next = j->next;
    job_free(j);
  }
  pthread_mutex_destroy(&l->mutex);
  pthread_cond_destroy(&l->work);
  pthread_cond_destroy(&l->done);
  free(l->thread);
  free(l->sample);
  free(l);
}
