// What the files of core/fetch share: the TSV's rows, shards in work, and the steps between them.
// defines: the private types and functions of vbl_fetch
#pragma once
#include <limits.h>
#include <pthread.h>
#include <stdio.h>

#include "core/data/bytes.h"
#include "core/data/lines.h"
#include "core/data/vocabulary.h"
#include "core/fetch/curl.h"
#include "core/fetch/fetch.h"

// --- rows of the TSV (rows.c) ---

typedef struct vbl_fetch_table {
  vbl_lines lines;
  int64_t rows;
  uint64_t hash;  // of the file
} vbl_fetch_table;

// A row's parts, not NUL-terminated.
typedef struct vbl_fetch_row {
  const char *url, *caption;
  size_t url_bytes, caption_bytes;
} vbl_fetch_row;

vbl_status vbl_fetch_table_open(const char *path, vbl_fetch_table *t, vbl_error *err);
void vbl_fetch_table_close(vbl_fetch_table *t);
// What is wrong with row i, or NULL.
const char *vbl_fetch_table_row(const vbl_fetch_table *t, vbl_fetch_columns columns, int64_t i, vbl_fetch_row *row);

// --- shards in work (shard.c, shard_write.c) ---

typedef enum vbl_fetch_state { VBL_FETCH_WAITING, VBL_FETCH_ACTIVE, VBL_FETCH_HELD, VBL_FETCH_DONE } vbl_fetch_state;

typedef struct vbl_fetch_item {
  vbl_fetch_state state;
  int attempts;
  int32_t host;
  double not_before;  // seconds of the monotonic clock
  char *result;       // held or done: the columns after the URL, tab between
} vbl_fetch_item;

typedef struct vbl_fetch_shard {
  int64_t number, first;
  int32_t rows, left;  // left: not yet done
  int32_t from;        // no row before it waits
  vbl_fetch_item *item;
  FILE *journal;  // a line for each row that is done: number in the shard, result
} vbl_fetch_shard;

// Makes the folder, reads the journal of an earlier run (rows whose image has gone are to be done again) and opens it to go on.
vbl_status vbl_fetch_shard_open(vbl_fetch *f, int64_t number, vbl_fetch_shard **out, vbl_error *err);
vbl_status vbl_fetch_shard_note(vbl_fetch_shard *s, int32_t row, const char *result, vbl_error *err);  // done
// All rows done: writes the tar and the status lines, and removes the working files.
vbl_status vbl_fetch_shard_finish(vbl_fetch *f, vbl_fetch_shard *s, vbl_error *err);
void vbl_fetch_shard_free(vbl_fetch_shard *s);
bool vbl_fetch_stored_path(const vbl_fetch *f, int64_t shard, const char *result, char path[PATH_MAX]);  // of a good result
void vbl_fetch_work_path(const vbl_fetch *f, int64_t number, const char *suffix, char path[PATH_MAX]);
bool vbl_fetch_shard_done(const vbl_fetch *f, int64_t number);  // whether its status lines are there
// All shards done: status.tsv (and captions.tsv), without the working folder.
vbl_status vbl_fetch_gather(vbl_fetch *f, vbl_error *err);

// One column of a result, from 0: status detail http bytes width height original_width original_height sha256 suffix.
enum { VBL_FETCH_STATUS, VBL_FETCH_DETAIL, VBL_FETCH_HTTP, VBL_FETCH_BYTES, VBL_FETCH_SHA = 8, VBL_FETCH_SUFFIX };
const char *vbl_fetch_column(const char *result, int column, size_t *bytes);
bool vbl_fetch_good(const char *result);

// --- images (image.c) ---

// Decodes, resizes, encodes and stores the image under its content's name; *result (malloc) is the row's.
vbl_status vbl_fetch_image(const vbl_fetch *f, const vbl_fetch_shard *s, int32_t row, const vbl_bytes *body, long http,
                           char **result, vbl_error *err);
// A path of the stored image; false when it does not fit.
bool vbl_fetch_image_path(const vbl_fetch *f, int64_t shard, const char *sha, const char *suffix, char *path, size_t room);
char *vbl_fetch_failure(const char *status, const char *detail, long http);  // a row's result; malloc, NULL without memory

enum { VBL_FETCH_OPEN = 4 };  // shards in work at once

// --- transfers (transfer.c) ---

typedef struct vbl_fetch_host {
  int32_t active;
  double not_before;
} vbl_fetch_host;

typedef struct vbl_fetch_transfer {
  vbl_fetch *f;
  vbl_fetch_shard *shard;
  int32_t row;
  CURL *easy;  // NULL: free
  vbl_bytes body;
  const char *refused;  // why the body was not taken
  const char *refused_status;
  char message[CURL_ERROR_SIZE];
  struct vbl_fetch_transfer *next;  // in the queue of bodies
  long http;
  char *result;  // of the worker
  vbl_status status;
  vbl_error error;
} vbl_fetch_transfer;

vbl_status vbl_fetch_transfer_start(vbl_fetch *f, vbl_fetch_transfer *t, vbl_fetch_shard *s, int32_t row, vbl_error *err);
// What came of it: NULL, and the body is to be decoded; or the result of the row. *again: worth another attempt; *wait: seconds that the
// server asks for.
char *vbl_fetch_transfer_verdict(vbl_fetch *f, vbl_fetch_transfer *t, CURLcode code, bool *again, double *wait);
void vbl_fetch_transfer_release(vbl_fetch *f, vbl_fetch_transfer *t);  // ends its connection's use; idempotent

void *vbl_fetch_worker(void *f);  // a thread that decodes (loop.c)

struct vbl_fetch {
  vbl_fetch_options o;
  char *out, *ca;
  int lock;
  vbl_fetch_table table;
  const vbl_curl *curl;
  CURLM *multi;
  int64_t shards, next_shard, good, done, bytes;
  vbl_fetch_shard *open[VBL_FETCH_OPEN];  // shards in work; NULL: none
  vbl_vocabulary *host_names;
  vbl_fetch_host *hosts;
  int32_t host_room;
  vbl_fetch_transfer *transfer;  // [parallel]
  int active;                    // transfers that are not free, their decoding included
  // Rows whose host was not found or did not answer are held back until another host answers: without a network none is settled.
  int64_t held;
  // Bodies to be decoded, and those that are.
  pthread_mutex_t mutex;
  pthread_cond_t work;
  vbl_fetch_transfer *bodies, **last_body, *ready;
  pthread_t *thread;
  int threads;
  bool stop, finished;
};
