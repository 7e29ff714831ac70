// One shard, mapped and checked.
// defines: vbl_shard_{open,close,verify,section,offset}
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/data/packed.h"
#include "core/store/file.h"
#include "core/store/hash.h"

const void *vbl_shard_section(const vbl_shard *s, vbl_pack_section which) { return s->map + s->header->section[which].offset; }

uint64_t vbl_shard_offset(const vbl_shard *s, vbl_pack_section which, uint64_t i) {
  uint64_t v;
  memcpy(&v, (const uint8_t *)vbl_shard_section(s, which) + i * sizeof v, sizeof v);
  return v;
}

static vbl_status damaged(const char *what, vbl_error *err) {
  return vbl_fail(err, VBL_EIO, "damaged: %s; remove this file and pack again", what);
}

static vbl_status check_header(const vbl_pack_header *h, size_t bytes, vbl_error *err) {
  vbl_pack_header plain = *h;
  if (memcmp(h->magic, VBL_PACK_MAGIC, sizeof h->magic) != 0) return vbl_fail(err, VBL_EIO, "not a shard of a packed data set");
  if (h->mark == __builtin_bswap32(VBL_PACK_MARK))
    return vbl_fail(err, VBL_EIO, "packed on a machine of the other byte order; pack the source again on this one");
  if (h->version != VBL_PACK_VERSION)
    return vbl_fail(err, VBL_EIO, "version %u of the format; this program reads version %d: pack the source again", h->version,
                    VBL_PACK_VERSION);
  plain.header_crc = 0;
  if (vbl_crc32(0, &plain, sizeof plain) != h->header_crc) return damaged("its header does not fit its checksum", err);
  if (h->image_size < 1 || h->image_size > VBL_PACK_IMAGE_MAX) return damaged("its images' size is out of range", err);
  if (bytes < h->bytes)
    return vbl_fail(err, VBL_EIO, "truncated: %zu bytes of %llu; remove this file and pack again", bytes,
                    (unsigned long long)h->bytes);
  return bytes == h->bytes ? VBL_OK : damaged("bytes after its end", err);
}

// Bytes that a section must have; UINT64_MAX: any number.
static uint64_t expected_bytes(const vbl_pack_header *h, int which) {
  uint64_t n = h->samples, k = h->texts, S = h->image_size;
  switch (which) {
    case VBL_PACK_IMAGES:
      return n * 3 * S * S;
    case VBL_PACK_IMAGE_CRC:
    case VBL_PACK_SPLIT:
      return n * 4;
    case VBL_PACK_IMAGE_HASH:
      return n * 8;
    case VBL_PACK_TEXT_KEY:
      return k * 8;
    case VBL_PACK_TOKEN_FIRST:
    case VBL_PACK_TEXT_AT:
      return (k + 1) * 8;
    case VBL_PACK_TEXT_FIRST:
    case VBL_PACK_ID_AT:
    case VBL_PACK_LABEL_FIRST:
    case VBL_PACK_WHY_AT:
      return (n + 1) * 8;
    case VBL_PACK_LABEL_KNOWN:
      return n;
    case VBL_PACK_LABEL_WEIGHT:
      return h->section[VBL_PACK_LABEL_INDEX].bytes;
    default:
      return UINT64_MAX;
  }
}

static vbl_status check_sections(const vbl_pack_header *h, vbl_error *err) {
  for (int k = 0; k < VBL_PACK_SECTIONS; k++) {
    uint64_t at = h->section[k].offset, bytes = h->section[k].bytes, wanted = expected_bytes(h, k);
    if (at % 8 != 0 || at < VBL_PACK_IMAGES_AT || at > h->bytes || bytes > h->bytes - at ||
        (wanted != UINT64_MAX && bytes != wanted))
      return damaged("a section lies outside of it", err);
  }
  return VBL_OK;
}

static vbl_status check_offsets(const vbl_shard *s, vbl_error *err) {
  static const struct {
    vbl_pack_section offsets, of;
    uint64_t element;
  } rows[] = {{VBL_PACK_TEXT_FIRST, VBL_PACK_TEXT_KEY, 8},
              {VBL_PACK_TOKEN_FIRST, VBL_PACK_TOKENS, 4},
              {VBL_PACK_TEXT_AT, VBL_PACK_TEXT, 1},
              {VBL_PACK_LABEL_FIRST, VBL_PACK_LABEL_INDEX, 4},
              {VBL_PACK_ID_AT, VBL_PACK_ID, 1},
              {VBL_PACK_WHY_AT, VBL_PACK_WHY, 1}};
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    uint64_t count = s->header->section[rows[r].offsets].bytes / 8, bytes = s->header->section[rows[r].of].bytes, last = 0;
    for (uint64_t i = 0; i < count; i++) {
      uint64_t at = vbl_shard_offset(s, rows[r].offsets, i);
      if (at < last || (i == 0 && at != 0)) return damaged("offsets that fall", err);
      last = at;
    }
    if (last != bytes / rows[r].element || bytes % rows[r].element != 0) return damaged("offsets beyond their section", err);
  }
  return VBL_OK;
}

static vbl_status check(const vbl_shard *s, vbl_error *err) {
  VBL_TRY(check_header(s->header, s->bytes, err));
  VBL_TRY(check_sections(s->header, err));
  uint64_t tables = VBL_PACK_IMAGES_AT + s->header->section[VBL_PACK_IMAGES].bytes;
  if (vbl_crc32(0, s->map + tables, s->bytes - tables) != s->header->tables_crc)
    return damaged("its tables do not fit their checksum", err);
  return check_offsets(s, err);
}

static vbl_status map(int fd, vbl_shard *out, vbl_error *err) {
  struct stat st;
  if (fstat(fd, &st) != 0) return vbl_fail(err, VBL_EIO, "%s", strerror(errno));
  if (!S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof(vbl_pack_header))
    return vbl_fail(err, VBL_EIO, "not a shard of a packed data set (%lld bytes)", (long long)st.st_size);
  void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return vbl_fail(err, VBL_ENOMEM, "cannot map it: %s", strerror(errno));
  *out = (vbl_shard){at, (size_t)st.st_size, at};
  return VBL_OK;
}

vbl_status vbl_shard_open(const char *path, vbl_shard *out, vbl_error *err) {
  *out = (vbl_shard){0};
  int fd;
  size_t size;
  VBL_TRY(vbl_file_open(path, &fd, &size, err));
  vbl_status status = map(fd, out, err);
  close(fd);
  if (status == VBL_OK) status = check(out, err);
  if (status == VBL_OK) return VBL_OK;
  vbl_shard_close(out);
  return vbl_context(err, "%s", path), status;
}

void vbl_shard_close(vbl_shard *s) {
  if (s->map != NULL) munmap((void *)s->map, s->bytes);
  *s = (vbl_shard){0};
}

int32_t vbl_shard_verify(const vbl_shard *s) {
  size_t bytes = 3 * (size_t)s->header->image_size * s->header->image_size;
  const uint8_t *image = vbl_shard_section(s, VBL_PACK_IMAGES);
  const uint32_t *crc = vbl_shard_section(s, VBL_PACK_IMAGE_CRC);
  int32_t bad = 0;
  for (uint32_t i = 0; i < s->header->samples; i++) bad += vbl_crc32(0, image + i * bytes, bytes) != crc[i];
  return bad;
}
