// Beginning and end of a download.
// defines: vbl_fetch_{new,free}; without libcurl at build time, errors that say so
#include "core/fetch/fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#ifdef VBL_CURL
#include "core/fetch/work.h"
#include "core/store/atomic.h"
#include "core/store/file.h"

static vbl_status check_options(const vbl_fetch_options *o, vbl_error *err) {
  const struct {
    const char *name;
    double value, low, high;
  } rows[] = {
      {"image", o->image, 16, 4096},      {"shard", o->shard, 1, 10000},        {"parallel", o->parallel, 1, 1000},
      {"per_host", o->per_host, 1, 1000}, {"threads", o->threads, 1, 256},      {"retries", o->retries, 0, 20},
      {"redirects", o->redirects, 0, 50}, {"connect", o->connect, 0.001, 3600}, {"total", o->total, 0.001, 86400},
      {"stall", o->stall, 1, 3600},       {"backoff", o->backoff, 0, 3600},     {"max_bytes", (double)o->max_bytes, 1, 1 << 28}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (!(rows[i].value >= rows[i].low && rows[i].value <= rows[i].high))
      return vbl_fail(err, VBL_EINVAL, "fetch: %s = %g; expected %g to %g", rows[i].name, rows[i].value, rows[i].low, rows[i].high);
  return VBL_OK;
}

static bool is_empty(const char *folder) {
  int n = 0;
  DIR *d = opendir(folder);
  for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) n += e->d_name[0] != '.' || strcmp(e->d_name, ".work") == 0;
  if (d != NULL) closedir(d);
  return n == 0;
}

// OUT/plan.txt says what the folder was begun with.
static vbl_status check_plan(vbl_fetch *f, vbl_error *err) {
  static const char *const columns[] = {"cc3m", "cc12m"}, *const forms[] = {"webdataset", "files"},
                           *const sizes[] = {"no", "keep_ratio", "center_crop", "border", "squash"};
  char text[512], path[PATH_MAX];
  vbl_file_bytes old;
  snprintf(path, sizeof path, "%s/plan.txt", f->out);
  snprintf(text, sizeof text,
           "vbl fetch 1\nrows %lld fnv1a64:%016llx\ncolumns %s\nform %s\nresize %s\nimage %d\nshard %d\nmax_bytes %lld\n",
           (long long)f->table.rows, (unsigned long long)f->table.hash, columns[f->o.columns], forms[f->o.form], sizes[f->o.resize],
           f->o.image, f->o.shard, (long long)f->o.max_bytes);
  if (access(path, F_OK) != 0) {
    if (!is_empty(f->out))
      return vbl_fail(err, VBL_EINVAL, "%s is not empty and holds no download that could go on; choose another folder", f->out);
    return vbl_atomic_write(path, text, strlen(text), err);
  }
  VBL_TRY(vbl_file_read(path, &old, err));
  bool same = strcmp(old.data, text) == 0;
  vbl_file_bytes_free(&old);
  if (same) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "%s was begun with another TSV or other options (see %s); choose another folder, or give those",
                  f->out, path);
}

static vbl_status lock_folder(vbl_fetch *f, vbl_error *err) {
  VBL_TRY(vbl_folder_make(f->out, NULL, err));
  f->lock = open(f->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (f->lock < 0) return vbl_fail_errno(err, "open folder", f->out);
  if (flock(f->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return vbl_fail(err, VBL_EIO, "%s: another process is downloading into it", f->out);
  return vbl_clean_stale(f->out, NULL, err);
}

static vbl_status start_threads(vbl_fetch *f, vbl_error *err) {
  f->thread = calloc((size_t)f->o.threads, sizeof *f->thread);
  f->transfer = calloc((size_t)f->o.parallel, sizeof *f->transfer);
  if (f->thread == NULL || f->transfer == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d transfers", f->o.parallel);
  sigset_t all, old;  // signals go to the interpreter's thread
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  while (f->threads < f->o.threads && pthread_create(&f->thread[f->threads], NULL, vbl_fetch_worker, f) == 0) f->threads++;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return f->threads == f->o.threads ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "fetch: thread %d could not be started", f->threads + 1);
}

static vbl_status begin(vbl_fetch *f, const char *tsv, vbl_error *err) {
  char path[PATH_MAX];
  VBL_TRY(check_options(&f->o, err));
  VBL_TRY(vbl_curl_open(&f->curl, err));
  VBL_TRY(vbl_fetch_table_open(tsv, &f->table, err));
  f->shards = (f->table.rows + f->o.shard - 1) / f->o.shard;
  if (f->shards > 100000)
    return vbl_fail(err, VBL_EINVAL, "%lld shards; a key has five digits for them: raise shard", (long long)f->shards);
  VBL_TRY(lock_folder(f, err));
  VBL_TRY(check_plan(f, err));
  snprintf(path, sizeof path, "%s/status.tsv", f->out);
  bool complete = access(path, F_OK) == 0;
  snprintf(path, sizeof path, "%s/.work", f->out);
  if (complete) {
    f->finished = true;
    f->done = f->table.rows;
    return vbl_tree_remove(path, err);
  }
  VBL_TRY(vbl_folder_make(path, NULL, err));
  VBL_TRY(vbl_clean_stale(path, NULL, err));
  VBL_TRY(vbl_vocabulary_new(&f->host_names, err));
  f->multi = f->curl->multi_init();
  if (f->multi == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for transfers");
  return start_threads(f, err);
}

vbl_status vbl_fetch_new(const char *tsv, const char *out, const vbl_fetch_options *options, vbl_fetch **result, vbl_error *err) {
  vbl_fetch *f = calloc(1, sizeof *f);
  *result = NULL;
  if (f == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a download");
  f->o = *options;
  f->lock = -1;
  f->last_body = &f->bodies;
  pthread_mutex_init(&f->mutex, NULL);
  pthread_cond_init(&f->work, NULL);
  f->out = strdup(out);
  f->ca = options->ca != NULL ? strdup(options->ca) : NULL;
  vbl_status status = f->out == NULL || (options->ca != NULL && f->ca == NULL)
                          ? vbl_fail(err, VBL_ENOMEM, "out of memory for a download")
                          : begin(f, tsv, err);
  if (status != VBL_OK) {
    vbl_fetch_free(f);
    return status;
  }
  *result = f;
  return VBL_OK;
}

void vbl_fetch_free(vbl_fetch *f) {
  if (f == NULL) return;
  pthread_mutex_lock(&f->mutex);
  f->stop = true;
  pthread_cond_broadcast(&f->work);
  pthread_mutex_unlock(&f->mutex);
  for (int i = 0; i < f->threads; i++) pthread_join(f->thread[i], NULL);
  for (int i = 0; f->transfer != NULL && i < f->o.parallel; i++) {
    vbl_fetch_transfer_release(f, &f->transfer[i]);
    free(f->transfer[i].result);
    vbl_bytes_free(&f->transfer[i].body);
  }
  for (int k = 0; k < VBL_FETCH_OPEN; k++) vbl_fetch_shard_free(f->open[k]);
  if (f->multi != NULL) f->curl->multi_cleanup(f->multi);
  vbl_vocabulary_free(f->host_names);
  vbl_fetch_table_close(&f->table);
  if (f->lock >= 0) close(f->lock);
  pthread_mutex_destroy(&f->mutex);
  pthread_cond_destroy(&f->work);
  free(f->thread);
  free(f->transfer);
  free(f->hosts);
  free(f->out);
  free(f->ca);
  free(f);
}

#else

vbl_status vbl_fetch_new(const char *tsv, const char *out, const vbl_fetch_options *options, vbl_fetch **f, vbl_error *err) {
  (void)tsv, (void)out, (void)options;
  *f = NULL;
  return vbl_fail(err, VBL_EDEVICE,
                  "this vbl was built without libcurl's headers: apt-get install libcurl4-openssl-dev, and build again");
}

vbl_status vbl_fetch_step(vbl_fetch *f, double seconds, bool *finished, vbl_fetch_progress *progress, vbl_error *err) {
  (void)f, (void)seconds, (void)progress;
  *finished = true;
  return vbl_fail(err, VBL_EDEVICE, "this vbl was built without libcurl");
}

void vbl_fetch_free(vbl_fetch *f) { (void)f; }
#endif
