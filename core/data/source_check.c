// Statistics of a split, and what splits have in common: every sample gives a hash for each sign; equal hashes stand together after a sort.
// defines: vbl_source_stats, vbl_source_meetings, vbl_meetings_free
#include "core/data/source_check.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "core/base/interrupt.h"

static int by_i32(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static int by_u64(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void count_labels(const vbl_source *s, const vbl_split *split, vbl_split_stats *out) {
  for (int32_t i = 0; i < split->n; i++) {
    vbl_label label = s->label(s->self, split->sample[i]);
    out->labelled += label.n >= 0;
    out->unlabelled += label.n < 0;
    for (int32_t k = 0; k < label.n; k++) out->class_samples[label.index[k]]++;
  }
}

static vbl_status text_lengths(const vbl_source *s, const vbl_split *split, int32_t *length, uint64_t *key, vbl_error *err) {
  vbl_token_list tokens = {0};
  vbl_status status = VBL_OK;
  int64_t t = 0;
  for (int32_t i = 0; i < split->n && status == VBL_OK; i++)
    for (int32_t k = 0; k < s->captions(s->self, split->sample[i]) && status == VBL_OK; k++, t++) {
      tokens.size = 0;
      status = s->tokens(s->self, split->sample[i], k, &tokens, err);
      length[t] = tokens.size;
      key[t] = s->text_key(s->self, split->sample[i], k);
    }
  vbl_token_list_free(&tokens);
  return status;
}

static void summarise(int32_t *length, uint64_t *key, vbl_split_stats *out) {
  double sum = 0;
  for (int64_t t = 0; t < out->texts; t++) sum += length[t];
  qsort(length, (size_t)out->texts, sizeof *length, by_i32);
  qsort(key, (size_t)out->texts, sizeof *key, by_u64);
  for (int64_t t = 1; t < out->texts; t++) out->repeated_texts += key[t] == key[t - 1];
  out->tokens_mean = sum / (double)out->texts;
  out->tokens_median = length[out->texts / 2];
  out->tokens_p99 = length[out->texts * 99 / 100];
  out->tokens_most = length[out->texts - 1];
}

vbl_status vbl_source_stats(const vbl_source *s, const vbl_split *split, vbl_split_stats *out, vbl_error *err) {
  *out = (vbl_split_stats){0};
  for (int32_t i = 0; i < split->n; i++) out->texts += s->captions(s->self, split->sample[i]);
  int32_t *length = calloc((size_t)out->texts + 1, sizeof *length);
  uint64_t *key = calloc((size_t)out->texts + 1, sizeof *key);
  if (s->label != NULL) out->class_samples = calloc((size_t)s->classes, sizeof *out->class_samples);
  vbl_status status = length == NULL || key == NULL || (s->label != NULL && out->class_samples == NULL)
                          ? vbl_fail(err, VBL_ENOMEM, "out of memory for %lld texts", (long long)out->texts)
                          : text_lengths(s, split, length, key, err);
  if (status == VBL_OK && out->texts > 0) summarise(length, key, out);
  if (status == VBL_OK && s->label != NULL) count_labels(s, split, out);
  free(length);
  free(key);
  if (status != VBL_OK) free(out->class_samples);
  return status;
}

// --- meetings ---

typedef struct mark {
  uint64_t hash;
  int32_t split, sample;
} mark;

static int by_hash(const void *a, const void *b) {
  const mark *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  if (x->split != y->split) return x->split < y->split ? -1 : 1;
  return (x->sample > y->sample) - (x->sample < y->sample);
}

// Of the text's letters and digits, case-folded, without marks; what is not ASCII stays.
static vbl_status hash_text(const vbl_bytes *text, uint64_t *hash, vbl_error *err) {
  utf8proc_uint8_t *folded = NULL;
  *hash = VBL_HASH_START;
  utf8proc_ssize_t n =
      utf8proc_map(text->data, (utf8proc_ssize_t)text->size, &folded,
                   UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK | UTF8PROC_COMPAT);
  if (n == UTF8PROC_ERROR_NOMEM) return vbl_fail(err, VBL_ENOMEM, "out of memory for a text");
  const uint8_t *at = n < 0 ? text->data : folded;
  size_t bytes = n < 0 ? text->size : (size_t)n;
  for (size_t i = 0; i < bytes; i++) {
    bool word = at[i] >= 0x80 || (at[i] >= 'a' && at[i] <= 'z') || (at[i] >= '0' && at[i] <= '9');
    if (word) *hash = vbl_hash_bytes(*hash, at + i, 1);
  }
  free(folded);
  return VBL_OK;
}

typedef struct looking {
  const vbl_source *source;
  mark *marks;  // what one sign gives, of all splits
  int64_t count, room;
} looking;

static vbl_status add_mark(looking *l, uint64_t hash, int32_t split, int32_t sample, vbl_error *err) {
  if (l->count == l->room) {
    int64_t room = l->room == 0 ? 4096 : 2 * l->room;
    mark *marks = realloc(l->marks, (size_t)room * sizeof *marks);
    if (marks == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %lld samples", (long long)room);
    l->marks = marks;
    l->room = room;
  }
  l->marks[l->count++] = (mark){hash, split, sample};
  return VBL_OK;
}

static vbl_status mark_sample(looking *l, vbl_sign sign, int32_t split, int32_t sample, vbl_bytes *buffer, vbl_error *err) {
  const vbl_source *s = l->source;
  buffer->size = 0;
  if (sign == VBL_SAME_ID) {
    VBL_TRY(s->id(s->self, sample, buffer, err));
    return add_mark(l, vbl_hash_bytes(VBL_HASH_START, buffer->data, buffer->size), split, sample, err);
  }
  for (int32_t k = 0; k < s->captions(s->self, sample); k++) {
    uint64_t hash;
    buffer->size = 0;
    VBL_TRY(s->text(s->self, sample, k, buffer, err));
    VBL_TRY(hash_text(buffer, &hash, err));
    VBL_TRY(add_mark(l, hash, split, sample, err));
  }
  return VBL_OK;
}

// Reads and decodes one image for its hash.
static vbl_status hash_image(const vbl_source *s, int32_t sample, uint64_t *hash, vbl_error *err) {
  vbl_bytes bytes = {0};
  vbl_image image = {0};
  vbl_status status = s->stored(s->self, sample, &bytes, err);
  if (status == VBL_OK) *hash = vbl_hash_bytes(VBL_HASH_START, bytes.data, bytes.size);
  if (status == VBL_OK) status = s->pixels(s->self, sample, &image, err);
  vbl_image_free(&image);
  vbl_bytes_free(&bytes);
  return status;
}

// The same where only the hash and the fitted pixels were kept.
static vbl_status kept_hash(const vbl_source *s, int32_t sample, uint64_t *hash, vbl_error *err) {
  uint8_t *chw = malloc(3 * (size_t)s->image_size * (size_t)s->image_size);
  if (chw == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for an image");
  *hash = s->image_hash(s->self, sample);
  vbl_status status = s->image(s->self, sample, chw, err);
  free(chw);
  return status;
}

// Hashes of the images of a slice of a split; bad[i] says why one cannot be decoded.
static void hash_images(const vbl_source *s, const int32_t *sample, int32_t n, uint64_t *hash, vbl_status *status, vbl_error *why) {
#pragma omp parallel for schedule(dynamic, 4)
  for (int32_t i = 0; i < n; i++) status[i] = (s->image_hash != NULL ? kept_hash : hash_image)(s, sample[i], &hash[i], &why[i]);
}

static vbl_status report_unreadable(const vbl_source *s, int32_t sample, const char *why, vbl_bytes *report, vbl_error *err) {
  VBL_TRY(vbl_bytes_add_text(report, "image of ", err));
  VBL_TRY(s->id(s->self, sample, report, err));
  VBL_TRY(vbl_bytes_add_text(report, ": ", err));
  VBL_TRY(vbl_bytes_add_text(report, why, err));
  return vbl_bytes_add_text(report, "\n", err);
}

enum { SLICE = 256 };

static vbl_status mark_images(looking *l, int32_t split, vbl_meetings *out, vbl_error *err) {
  const vbl_source *s = l->source;
  const vbl_split *of = &s->split[split];
  uint64_t hash[SLICE];
  vbl_status status[SLICE];
  vbl_error *why = malloc(SLICE * sizeof *why);
  vbl_status result = why == NULL ? vbl_fail(err, VBL_ENOMEM, "out of memory for images") : VBL_OK;
  for (int32_t i = 0; i < of->n && result == VBL_OK; i += SLICE) {
    int32_t n = of->n - i < SLICE ? of->n - i : SLICE;
    result = vbl_interrupt_check(err);
    if (result == VBL_OK) hash_images(s, of->sample + i, n, hash, status, why);
    for (int32_t k = 0; k < n && result == VBL_OK; k++) {
      if (status[k] == VBL_OK) {
        result = add_mark(l, hash[k], split, of->sample[i + k], err);
        continue;
      }
      if (status[k] == VBL_ENOMEM || status[k] == VBL_EINTERRUPT) {
        result = vbl_fail(err, status[k], "%s", why[k].message);
        continue;
      }
      out->unreadable++;
      result = report_unreadable(s, of->sample[i + k], why[k].message, &out->report, err);
    }
  }
  free(why);
  return result;
}

// The meeting of splits a < b by a sign, made when it is new.
static vbl_status meeting_of(vbl_meetings *out, const vbl_source *s, vbl_sign sign, int32_t a, int32_t b, vbl_meeting **m,
                             vbl_error *err) {
  for (int32_t i = 0; i < out->n; i++) {
    *m = &out->list[i];
    if ((*m)->sign == sign && (*m)->a == &s->split[a] && (*m)->b == &s->split[b]) return VBL_OK;
  }
  vbl_meeting *list = realloc(out->list, ((size_t)out->n + 1) * sizeof *list);
  if (list == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory");
  out->list = list;
  *m = &list[out->n++];
  **m = (vbl_meeting){sign, &s->split[a], &s->split[b], 0, -1, -1};
  return VBL_OK;
}

// One run of equal hashes, by split and sample: each sample of a later split meets each earlier split in the run.
static vbl_status count_run(const looking *l, const mark *run, int64_t n, vbl_sign sign, vbl_meetings *out, vbl_error *err) {
  for (int64_t i = 1; i < n; i++) {
    bool again = run[i].split == run[i - 1].split && run[i].sample == run[i - 1].sample;  // two texts of one sample
    if (again) continue;
    out->repeated[sign] += run[i].split == run[i - 1].split;
    for (int64_t k = 0; k < i && run[k].split < run[i].split; k++) {
      vbl_meeting *m = NULL;
      if (k > 0 && run[k].split == run[k - 1].split) continue;
      VBL_TRY(meeting_of(out, l->source, sign, run[k].split, run[i].split, &m, err));
      m->count++;
      if (m->sample_a < 0) m->sample_a = run[k].sample, m->sample_b = run[i].sample;
    }
  }
  return VBL_OK;
}

static vbl_status look_for(looking *l, vbl_sign sign, vbl_meetings *out, vbl_error *err) {
  vbl_bytes buffer = {0};
  vbl_status status = VBL_OK;
  l->count = 0;
  for (int32_t k = 0; k < l->source->splits && status == VBL_OK; k++) {
    const vbl_split *split = &l->source->split[k];
    if (sign == VBL_SAME_IMAGE) status = mark_images(l, k, out, err);
    for (int32_t i = 0; sign != VBL_SAME_IMAGE && i < split->n && status == VBL_OK; i++)
      status = mark_sample(l, sign, k, split->sample[i], &buffer, err);
  }
  vbl_bytes_free(&buffer);
  VBL_TRY(status);
  if (l->count > 0) qsort(l->marks, (size_t)l->count, sizeof *l->marks, by_hash);
  for (int64_t i = 0, end; i < l->count; i = end) {
    for (end = i + 1; end < l->count && l->marks[end].hash == l->marks[i].hash;) end++;
    VBL_TRY(count_run(l, l->marks + i, end - i, sign, out, err));
  }
  return VBL_OK;
}

vbl_status vbl_source_meetings(const vbl_source *source, bool images, vbl_meetings *out, vbl_error *err) {
  looking l = {.source = source};
  *out = (vbl_meetings){0};
  vbl_status status = look_for(&l, VBL_SAME_ID, out, err);
  if (status == VBL_OK && images && (source->stored != NULL || source->image_hash != NULL))
    status = look_for(&l, VBL_SAME_IMAGE, out, err);
  if (status == VBL_OK) status = look_for(&l, VBL_SAME_TEXT, out, err);
  free(l.marks);
  if (status != VBL_OK) vbl_meetings_free(out);
  return status;
}

void vbl_meetings_free(vbl_meetings *m) {
  free(m->list);
  vbl_bytes_free(&m->report);
  *m = (vbl_meetings){0};
}
