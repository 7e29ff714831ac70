// Writing one shard: images as they are made, then the tables, then the header at the front.
// defines: vbl_pack_write
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/data/bytes.h"
#include "core/data/packed.h"
#include "core/store/atomic.h"
#include "core/store/file.h"
#include "core/store/hash.h"

typedef struct writing {
  const vbl_source *source;
  const vbl_pack *pack;
  vbl_atomic_file file;
  vbl_pack_header header;
  vbl_bytes table[VBL_PACK_SECTIONS];  // all but the images
  vbl_bytes stored;
  vbl_token_list tokens;
  uint8_t *chw;
} writing;

static vbl_status put(writing *w, vbl_pack_section which, const void *data, size_t n, vbl_error *err) {
  return vbl_bytes_add(&w->table[which], data, n, err);
}

// The end so far of a section of `element` bytes, as the next offset.
static vbl_status put_end(writing *w, vbl_pack_section offsets, vbl_pack_section of, size_t element, vbl_error *err) {
  uint64_t end = w->table[of].size / element;
  return put(w, offsets, &end, sizeof end, err);
}

static vbl_status add_text(writing *w, int32_t sample, int32_t k, vbl_error *err) {
  const vbl_source *s = w->source;
  uint64_t key = s->text_key(s->self, sample, k);
  w->tokens.size = 0;
  VBL_TRY(s->tokens(s->self, sample, k, &w->tokens, err));
  VBL_TRY(put(w, VBL_PACK_TOKENS, w->tokens.id, (size_t)w->tokens.size * sizeof *w->tokens.id, err));
  VBL_TRY(s->text(s->self, sample, k, &w->table[VBL_PACK_TEXT], err));
  VBL_TRY(put(w, VBL_PACK_TEXT_KEY, &key, sizeof key, err));
  VBL_TRY(put_end(w, VBL_PACK_TEXT_AT, VBL_PACK_TEXT, 1, err));
  w->header.texts++;
  return put_end(w, VBL_PACK_TOKEN_FIRST, VBL_PACK_TOKENS, sizeof(int32_t), err);
}

static vbl_status add_texts(writing *w, int32_t sample, vbl_error *err) {
  for (int32_t k = 0, n = w->source->captions(w->source->self, sample); k < n; k++) VBL_TRY(add_text(w, sample, k, err));
  return put_end(w, VBL_PACK_TEXT_FIRST, VBL_PACK_TEXT_KEY, sizeof(uint64_t), err);
}

static vbl_status add_label(writing *w, int32_t sample, vbl_error *err) {
  const vbl_source *s = w->source;
  vbl_label l = s->label != NULL ? s->label(s->self, sample) : (vbl_label){.n = -1};
  uint8_t known = l.n >= 0;
  VBL_TRY(put(w, VBL_PACK_LABEL_KNOWN, &known, 1, err));
  for (int32_t i = 0; i < l.n; i++) {
    float weight = l.weight != NULL ? l.weight[i] : 1;
    VBL_TRY(put(w, VBL_PACK_LABEL_INDEX, &l.index[i], sizeof l.index[i], err));
    VBL_TRY(put(w, VBL_PACK_LABEL_WEIGHT, &weight, sizeof weight, err));
  }
  return put_end(w, VBL_PACK_LABEL_FIRST, VBL_PACK_LABEL_INDEX, sizeof(int32_t), err);
}

// The image, or why there is none. What is no fault of the image's ends the packing.
static vbl_status add_image(writing *w, int32_t sample, atomic_llong *bad, vbl_error *err) {
  const vbl_source *s = w->source;
  size_t bytes = 3 * (size_t)s->image_size * (size_t)s->image_size;
  vbl_error why;
  w->stored.size = 0;
  vbl_status status = s->image_and_stored != NULL ? s->image_and_stored(s->self, sample, w->chw, &w->stored, &why)
                                                  : s->image(s->self, sample, w->chw, &why);
  if (status == VBL_ENOMEM || status == VBL_EINTERRUPT) return vbl_fail(err, status, "%s", why.message);
  if (status != VBL_OK) {
    memset(w->chw, 0, bytes);
    VBL_TRY(put(w, VBL_PACK_WHY, why.message, strlen(why.message), err));
    if (atomic_fetch_add(bad, 1) >= w->pack->allowed_bad)
      return vbl_fail(err, VBL_EIO, "more images fail to decode than max_bad allows (%lld); the last: %s",
                      (long long)w->pack->allowed_bad, why.message);
  }
  uint64_t hash = w->stored.size == 0 ? vbl_hash_bytes(VBL_HASH_START, w->chw, bytes)
                                      : vbl_hash_bytes(VBL_HASH_START, w->stored.data, w->stored.size);
  w->file.crc = 0;  // the file's running checksum, here of one image
  VBL_TRY(vbl_atomic_file_write(&w->file, w->chw, bytes, err));
  VBL_TRY(put(w, VBL_PACK_IMAGE_CRC, &w->file.crc, sizeof w->file.crc, err));
  VBL_TRY(put(w, VBL_PACK_IMAGE_HASH, &hash, sizeof hash, err));
  return put_end(w, VBL_PACK_WHY_AT, VBL_PACK_WHY, 1, err);
}

static vbl_status add_sample(writing *w, int32_t sample, atomic_llong *bad, vbl_error *err) {
  VBL_TRY(add_image(w, sample, bad, err));
  VBL_TRY(add_texts(w, sample, err));
  VBL_TRY(add_label(w, sample, err));
  VBL_TRY(put(w, VBL_PACK_SPLIT, &w->pack->split[sample], sizeof(int32_t), err));
  VBL_TRY(w->source->id(w->source->self, sample, &w->table[VBL_PACK_ID], err));
  return put_end(w, VBL_PACK_ID_AT, VBL_PACK_ID, 1, err);
}

static vbl_status add_samples(writing *w, atomic_llong *done, atomic_llong *bad, const atomic_bool *stop, vbl_error *err) {
  static const vbl_pack_section offsets[] = {VBL_PACK_TEXT_FIRST, VBL_PACK_TOKEN_FIRST, VBL_PACK_TEXT_AT,
                                             VBL_PACK_ID_AT,      VBL_PACK_LABEL_FIRST, VBL_PACK_WHY_AT};
  const uint64_t zero = 0;
  for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) VBL_TRY(put(w, offsets[i], &zero, sizeof zero, err));
  for (uint32_t i = 0; i < w->header.samples; i++) {
    if (atomic_load(stop)) return vbl_fail(err, VBL_EINTERRUPT, "interrupted");
    VBL_TRY(add_sample(w, (int32_t)(w->header.first + i), bad, err));
    atomic_fetch_add(done, 1);
  }
  return VBL_OK;
}

// In front of all the rest.
static vbl_status put_header(writing *w, vbl_error *err) {
  const uint8_t *from = (const uint8_t *)&w->header;
  for (size_t done = 0; done < sizeof w->header;) {
    ssize_t n = pwrite(w->file.fd, from + done, sizeof w->header - done, (off_t)done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return vbl_fail_errno(err, "write", w->file.path);
    done += (size_t)n;
  }
  return VBL_OK;
}

// The tables, each at a multiple of 8, and their places in the header.
static vbl_status write_tables(writing *w, vbl_error *err) {
  static const uint8_t zeros[8];
  vbl_pack_header *h = &w->header;
  uint64_t at = VBL_PACK_IMAGES_AT + w->file.written;
  h->section[VBL_PACK_IMAGES].offset = VBL_PACK_IMAGES_AT;
  h->section[VBL_PACK_IMAGES].bytes = w->file.written;
  w->file.crc = 0;
  for (int k = VBL_PACK_IMAGE_CRC; k < VBL_PACK_SECTIONS; k++) {
    size_t pad = (8 - at % 8) % 8;
    VBL_TRY(vbl_atomic_file_write(&w->file, zeros, pad, err));
    h->section[k].offset = at += pad;
    h->section[k].bytes = w->table[k].size;
    VBL_TRY(vbl_atomic_file_write(&w->file, w->table[k].data, w->table[k].size, err));
    at += w->table[k].size;
  }
  h->bytes = at;
  h->tables_crc = w->file.crc;
  h->header_crc = vbl_crc32(0, h, sizeof *h);
  return put_header(w, err);
}

static vbl_status write_all(writing *w, atomic_llong *done, atomic_llong *bad, const atomic_bool *stop, vbl_error *err) {
  size_t bytes = 3 * (size_t)w->source->image_size * (size_t)w->source->image_size;
  w->chw = malloc(bytes);
  if (w->chw == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for an image of %zu bytes", bytes);
  if (lseek(w->file.fd, VBL_PACK_IMAGES_AT, SEEK_SET) < 0) return vbl_fail_errno(err, "write", w->file.path);
  VBL_TRY(add_samples(w, done, bad, stop, err));
  VBL_TRY(write_tables(w, err));
  return vbl_atomic_file_commit(&w->file, err);
}

vbl_status vbl_pack_write(const vbl_pack *p, int32_t number, atomic_llong *done, atomic_llong *bad, const atomic_bool *stop,
                          vbl_error *err) {
  char path[PATH_MAX];
  int64_t first = (int64_t)number * p->shard_samples, left = p->source->samples - first;
  writing w = {.source = p->source, .pack = p};
  w.header = (vbl_pack_header){.version = VBL_PACK_VERSION,
                               .mark = VBL_PACK_MARK,
                               .identity = p->identity,
                               .number = (uint32_t)number,
                               .samples = (uint32_t)(left < p->shard_samples ? left : p->shard_samples),
                               .first = (uint64_t)first,
                               .image_size = (uint32_t)p->source->image_size};
  memcpy(w.header.magic, VBL_PACK_MAGIC, sizeof w.header.magic);
  snprintf(path, sizeof path, "%s/" VBL_PACK_NAME, p->folder, number);
  VBL_TRY(vbl_atomic_file_open(&w.file, path, err));
  vbl_status status = write_all(&w, done, bad, stop, err);
  vbl_atomic_file_abort(&w.file);
  for (int k = 0; k < VBL_PACK_SECTIONS; k++) vbl_bytes_free(&w.table[k]);
  vbl_bytes_free(&w.stored);
  vbl_token_list_free(&w.tokens);
  free(w.chw);
  return status;
}
