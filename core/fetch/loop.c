// The loop: which rows are asked for when, and what becomes of their answers.
// defines: vbl_fetch_step, vbl_fetch_worker
#ifdef VBL_CURL
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/interrupt.h"
#include "core/fetch/work.h"

enum { HELD_MOST = 300, POLL_MS = 50 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// --- decoding threads ---

void *vbl_fetch_worker(void *argument) {
  vbl_fetch *f = argument;
  pthread_mutex_lock(&f->mutex);
  while (!f->stop) {
    vbl_fetch_transfer *t = f->bodies;
    if (t == NULL) {
      pthread_cond_wait(&f->work, &f->mutex);
      continue;
    }
    f->bodies = t->next;
    if (f->bodies == NULL) f->last_body = &f->bodies;
    pthread_mutex_unlock(&f->mutex);
    t->status = vbl_fetch_image(f, t->shard, t->row, &t->body, t->http, &t->result, &t->error);
    pthread_mutex_lock(&f->mutex);
    t->next = f->ready;
    f->ready = t;
    f->curl->multi_wakeup(f->multi);
  }
  pthread_mutex_unlock(&f->mutex);
  return NULL;
}

static void give_body(vbl_fetch *f, vbl_fetch_transfer *t) {
  pthread_mutex_lock(&f->mutex);
  t->next = NULL;
  *f->last_body = t;
  f->last_body = &t->next;
  pthread_cond_signal(&f->work);
  pthread_mutex_unlock(&f->mutex);
}

// --- what becomes of a row ---

static void end_transfer(vbl_fetch *f, vbl_fetch_transfer *t) {
  f->hosts[t->shard->item[t->row].host].active--;
  f->active--;
  t->shard = NULL;
}

// Takes the result.
static vbl_status settle(vbl_fetch *f, vbl_fetch_shard *s, int32_t row, char *result, vbl_error *err) {
  if (result == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a result");
  f->done++;
  f->good += vbl_fetch_good(result);
  vbl_status status = vbl_fetch_shard_note(s, row, result, err);
  free(result);
  return status;
}

static vbl_status settle_held(vbl_fetch *f, vbl_error *err) {
  for (int k = 0; k < VBL_FETCH_OPEN && f->held > 0; k++)
    for (int32_t i = 0; f->open[k] != NULL && i < f->open[k]->rows; i++) {
      vbl_fetch_item *item = &f->open[k]->item[i];
      if (item->state != VBL_FETCH_HELD) continue;
      char *result = item->result;
      item->result = NULL;
      f->held--;
      VBL_TRY(settle(f, f->open[k], i, result, err));
    }
  return VBL_OK;
}

static bool is_unreachable(const char *result) {
  return strncmp(result, "no_such_host\t", 13) == 0 || strncmp(result, "no_connection\t", 14) == 0;
}

static vbl_status hold(vbl_fetch *f, vbl_fetch_item *item, char *result, vbl_error *err) {
  item->state = VBL_FETCH_HELD;
  item->result = result;
  if (++f->held < HELD_MOST) return VBL_OK;
  return vbl_fail(err, VBL_EIO,
                  "%d URLs one after the other, and no host found or answering: is there a network? Nothing is recorded of "
                  "them; the same command goes on",
                  HELD_MOST);
}

// The next attempt waits twice as long as the one before, and at least as long as the server asks (at most a minute), for all of its host.
static void put_back(vbl_fetch *f, vbl_fetch_shard *s, int32_t row, double wait) {
  vbl_fetch_item *item = &s->item[row];
  double pause = f->o.backoff * (double)(1 << item->attempts);
  if (wait > 60) wait = 60;
  item->attempts++;
  item->state = VBL_FETCH_WAITING;
  item->not_before = now() + (pause > wait ? pause : wait);
  if (wait > 0) f->hosts[item->host].not_before = now() + wait;
  if (row < s->from) s->from = row;
}

static vbl_status finish_transfer(vbl_fetch *f, vbl_fetch_transfer *t, CURLcode code, vbl_error *err) {
  bool again;
  double wait;
  vbl_fetch_shard *s = t->shard;
  vbl_fetch_item *item = &s->item[t->row];
  char *result = vbl_fetch_transfer_verdict(f, t, code, &again, &wait);
  vbl_fetch_transfer_release(f, t);
  vbl_status status = t->http > 0 ? settle_held(f, err) : VBL_OK;
  if (status != VBL_OK) return free(result), status;
  if (result == NULL && code == CURLE_OK && t->http >= 200 && t->http <= 299) {
    give_body(f, t);  // its host's place and its memory are free when it is decoded
    return VBL_OK;
  }
  int32_t row = t->row;
  end_transfer(f, t);
  if (again && item->attempts < f->o.retries) {
    free(result);
    put_back(f, s, row, wait);
    return VBL_OK;
  }
  if (result != NULL && is_unreachable(result)) return hold(f, item, result, err);
  return settle(f, s, row, result, err);
}

static vbl_status take_ready(vbl_fetch *f, vbl_error *err) {
  pthread_mutex_lock(&f->mutex);
  vbl_fetch_transfer *list = f->ready;
  f->ready = NULL;
  pthread_mutex_unlock(&f->mutex);
  vbl_status status = VBL_OK;
  for (vbl_fetch_transfer *t = list, *next; t != NULL; t = next) {
    next = t->next;
    vbl_fetch_shard *s = t->shard;
    int32_t row = t->row;
    char *result = t->result;
    t->result = NULL;
    end_transfer(f, t);
    if (status == VBL_OK && t->status != VBL_OK) status = vbl_fail(err, t->status, "%s", t->error.message);
    if (status == VBL_OK)
      status = settle(f, s, row, result, err);
    else
      free(result);
  }
  return status;
}

// --- what is asked for next ---

static vbl_status grow_hosts(vbl_fetch *f, vbl_error *err) {
  int32_t n = vbl_vocabulary_size(f->host_names);
  if (n <= f->host_room) return VBL_OK;
  vbl_fetch_host *hosts = realloc(f->hosts, 2 * (size_t)n * sizeof *hosts);
  if (hosts == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d hosts", n);
  memset(hosts + f->host_room, 0, (2 * (size_t)n - (size_t)f->host_room) * sizeof *hosts);
  f->hosts = hosts;
  f->host_room = 2 * n;
  return VBL_OK;
}

// The next shard that is not finished, into a free place.
static vbl_status open_next(vbl_fetch *f, vbl_fetch_shard **place, vbl_error *err) {
  while (f->next_shard < f->shards && vbl_fetch_shard_done(f, f->next_shard)) {
    int64_t first = f->next_shard * f->o.shard, left = f->table.rows - first;
    f->done += left < f->o.shard ? left : f->o.shard;
    f->next_shard++;
  }
  if (f->next_shard >= f->shards) return VBL_OK;
  VBL_TRY(vbl_fetch_shard_open(f, f->next_shard++, place, err));
  for (int32_t i = 0; i < (*place)->rows; i++)
    if ((*place)->item[i].state == VBL_FETCH_DONE) f->done++, f->good += vbl_fetch_good((*place)->item[i].result);
  return grow_hosts(f, err);
}

// The first row of the shard that may be asked for now, or -1.
static int32_t next_row(vbl_fetch *f, vbl_fetch_shard *s, double time) {
  while (s->from < s->rows && s->item[s->from].state != VBL_FETCH_WAITING) s->from++;
  for (int32_t i = s->from; i < s->rows; i++) {
    const vbl_fetch_item *item = &s->item[i];
    if (item->state != VBL_FETCH_WAITING || item->not_before > time) continue;
    const vbl_fetch_host *host = &f->hosts[item->host];
    if (host->active < f->o.per_host && host->not_before <= time) return i;
  }
  return -1;
}

static vbl_fetch_transfer *free_transfer(vbl_fetch *f) {
  for (int i = 0; i < f->o.parallel; i++)
    if (f->transfer[i].shard == NULL) return &f->transfer[i];
  return NULL;
}

static vbl_status start_shard(vbl_fetch *f, vbl_fetch_shard *s, vbl_error *err) {
  double time = now();
  while (f->active < f->o.parallel) {
    int32_t row = next_row(f, s, time);
    vbl_fetch_transfer *t = free_transfer(f);
    if (row < 0 || t == NULL) return VBL_OK;
    VBL_TRY(vbl_fetch_transfer_start(f, t, s, row, err));
    s->item[row].state = VBL_FETCH_ACTIVE;
    f->hosts[s->item[row].host].active++;
    f->active++;
  }
  return VBL_OK;
}

static int32_t waiting_rows(const vbl_fetch *f) {
  int32_t n = 0;
  for (int k = 0; k < VBL_FETCH_OPEN; k++) n += f->open[k] != NULL ? f->open[k]->left : 0;
  return n;
}

// Starts what may be started. A further shard is opened when those in work do not fill the transfers.
static vbl_status start_all(vbl_fetch *f, vbl_error *err) {
  for (int k = 0; k < VBL_FETCH_OPEN; k++)
    if (f->open[k] != NULL) VBL_TRY(start_shard(f, f->open[k], err));
  for (int k = 0; k < VBL_FETCH_OPEN && f->active < f->o.parallel; k++) {
    if (f->open[k] != NULL) continue;
    VBL_TRY(open_next(f, &f->open[k], err));
    if (f->open[k] != NULL) VBL_TRY(start_shard(f, f->open[k], err));
  }
  return VBL_OK;
}

static vbl_status finish_shards(vbl_fetch *f, vbl_error *err) {
  if (f->held > 0 && f->active == 0 && waiting_rows(f) == f->held && f->next_shard == f->shards) VBL_TRY(settle_held(f, err));
  for (int k = 0; k < VBL_FETCH_OPEN; k++) {
    vbl_fetch_shard *s = f->open[k];
    if (s == NULL || s->left > 0) continue;
    VBL_TRY(vbl_fetch_shard_finish(f, s, err));
    vbl_fetch_shard_free(s);
    f->open[k] = NULL;
  }
  return VBL_OK;
}

static vbl_status turn(vbl_fetch *f, vbl_error *err) {
  int running, left;
  VBL_TRY(vbl_interrupt_check(err));
  VBL_TRY(take_ready(f, err));
  VBL_TRY(finish_shards(f, err));
  VBL_TRY(start_all(f, err));
  if (f->curl->multi_perform(f->multi, &running) != CURLM_OK) return vbl_fail(err, VBL_EDEVICE, "libcurl failed");
  for (CURLMsg *m; (m = f->curl->multi_info_read(f->multi, &left)) != NULL;) {
    char *at;
    if (m->msg != CURLMSG_DONE) continue;
    CURLcode code = m->data.result;
    f->curl->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &at);
    VBL_TRY(finish_transfer(f, (vbl_fetch_transfer *)at, code, err));
  }
  return VBL_OK;
}

static bool is_idle(const vbl_fetch *f) {
  for (int k = 0; k < VBL_FETCH_OPEN; k++)
    if (f->open[k] != NULL) return false;
  return f->next_shard >= f->shards;
}

static vbl_status step(vbl_fetch *f, double seconds, vbl_error *err) {
  for (double end = now() + seconds; !f->finished && now() < end;) {
    VBL_TRY(turn(f, err));
    VBL_TRY(finish_shards(f, err));
    if (is_idle(f)) {
      VBL_TRY(vbl_fetch_gather(f, err));
      f->finished = true;
    } else {
      f->curl->multi_poll(f->multi, NULL, 0, POLL_MS, NULL);
    }
  }
  return VBL_OK;
}

vbl_status vbl_fetch_step(vbl_fetch *f, double seconds, bool *finished, vbl_fetch_progress *progress, vbl_error *err) {
  vbl_status status = step(f, seconds, err);
  *finished = f->finished;
  *progress = (vbl_fetch_progress){f->table.rows, f->done, f->good, f->active, f->bytes};
  return status;
}

#endif
