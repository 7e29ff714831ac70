// From a body to the image that is stored, and the columns of its row.
// defines: vbl_fetch_image, vbl_fetch_image_path, vbl_fetch_failure
#ifdef VBL_CURL
#include "core/data/image.h"

#include <limits.h>
#include <stb/stb_image_write.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fetch/work.h"
#include "core/store/file.h"
#include "core/store/hash.h"

enum { JPEG_QUALITY = 95 };

// Tabs and line ends would end the column.
static void clean(char *text) {
  for (; *text != 0; text++)
    if ((unsigned char)*text < ' ') *text = ' ';
}

char *vbl_fetch_failure(const char *status, const char *detail, long http) {
  char *line;
  if (asprintf(&line, "%s\t%s\t%ld\t0\t0\t0\t0\t0\t\t", status, detail, http) < 0) return NULL;
  for (char *at = line; *at != 0; at++)
    if (*at == '\n' || *at == '\r') *at = ' ';
  return line;
}

bool vbl_fetch_image_path(const vbl_fetch *f, int64_t shard, const char *sha, const char *suffix, char *path, size_t room) {
  int n = f->o.form == VBL_FETCH_FILES ? snprintf(path, room, "%s/images/%.2s/%s.%s", f->out, sha, sha, suffix)
                                       : snprintf(path, room, "%s/.work/%05lld/%s.%s", f->out, (long long)shard, sha, suffix);
  return n > 0 && (size_t)n < room;
}

typedef struct encoded {
  vbl_bytes *out;
  vbl_status status;  // the first failure: what comes behind it would make a damaged file
} encoded;

static void append(void *context, void *data, int n) {
  encoded *e = context;
  if (e->status == VBL_OK) e->status = vbl_bytes_add(e->out, data, (size_t)n, NULL);
}

static vbl_status encode(const uint8_t *rgb, int width, int height, vbl_bytes *out, vbl_error *err) {
  encoded e = {out, VBL_OK};
  if (stbi_write_jpg_to_func(append, &e, width, height, 3, rgb, JPEG_QUALITY) && e.status == VBL_OK) return VBL_OK;
  return vbl_fail(err, VBL_ENOMEM, "out of memory for an image of %d x %d", width, height);
}

static int scaled(int side, int to, int by) {
  int v = (int)((int64_t)side * to / by);
  return v < 1 ? 1 : v;
}

// S x S by crop or squash.
static vbl_status fit(const vbl_image *in, int S, vbl_crop crop, uint8_t *rgb, vbl_error *err) {
  size_t area = (size_t)S * (size_t)S;
  uint8_t *chw = malloc(3 * area);
  if (chw == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for an image of %d x %d", S, S);
  vbl_status status = vbl_image_fit(in, &(vbl_fit){.size = S, .crop = crop}, chw, err);
  for (size_t i = 0; status == VBL_OK && i < area; i++)
    for (size_t c = 0; c < 3; c++) rgb[3 * i + c] = chw[c * area + i];
  free(chw);
  return status;
}

// The whole image, longest side S, in the middle of a white square.
static vbl_status border(const vbl_image *in, int S, uint8_t *rgb, vbl_error *err) {
  int longest = in->width > in->height ? in->width : in->height, w = scaled(in->width, S, longest),
      h = scaled(in->height, S, longest);
  uint8_t *part = malloc(3 * (size_t)w * (size_t)h);
  if (part == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for an image of %d x %d", w, h);
  vbl_status status = vbl_image_resize(in, w, h, part, err);
  memset(rgb, 255, 3 * (size_t)S * (size_t)S);
  for (int y = 0; status == VBL_OK && y < h; y++)
    memcpy(rgb + 3 * ((size_t)((S - h) / 2 + y) * (size_t)S + (size_t)((S - w) / 2)), part + 3 * (size_t)y * (size_t)w,
           3 * (size_t)w);
  free(part);
  return status;
}

static vbl_status keep_ratio(const vbl_image *in, int S, vbl_image *out, vbl_error *err) {
  int shortest = in->width < in->height ? in->width : in->height, to = shortest < S ? shortest : S;
  *out = (vbl_image){scaled(in->width, to, shortest), scaled(in->height, to, shortest), NULL};
  if (out->width > VBL_IMAGE_MAX_SIDE || out->height > VBL_IMAGE_MAX_SIDE)
    return vbl_fail(err, VBL_EIO, "too long a strip to resize");
  out->rgb = malloc(3 * (size_t)out->width * (size_t)out->height);
  if (out->rgb == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for an image of %d x %d", out->width, out->height);
  return vbl_image_resize(in, out->width, out->height, out->rgb, err);
}

static vbl_status resize(const vbl_image *in, const vbl_fetch_options *o, vbl_image *out, vbl_error *err) {
  int S = o->image;
  if (o->resize == VBL_FETCH_KEEP_RATIO) return keep_ratio(in, S, out, err);
  *out = (vbl_image){S, S, malloc(3 * (size_t)S * (size_t)S)};
  if (out->rgb == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for an image of %d x %d", S, S);
  if (o->resize == VBL_FETCH_BORDER) return border(in, S, out->rgb, err);
  return fit(in, S, o->resize == VBL_FETCH_SQUASH ? VBL_CROP_SQUASH : VBL_CROP_CENTER, out->rgb, err);
}

// Written beside and renamed; another row of the same content writes the same bytes. Not flushed: after a power failure the row is done
// again.
static vbl_status store(const char *path, int64_t row, const vbl_bytes *bytes, vbl_error *err) {
  char temporary[PATH_MAX];
  if (snprintf(temporary, sizeof temporary, "%s.tmp-%lld", path, (long long)row) >= (int)sizeof temporary)
    return vbl_fail(err, VBL_EINVAL, "%s: path too long", path);
  FILE *file = fopen(temporary, "wbe");
  if (file == NULL) return vbl_fail_errno(err, "write", temporary);
  bool good = fwrite(bytes->data, 1, bytes->size, file) == bytes->size;
  good = fclose(file) == 0 && good;
  if (good && rename(temporary, path) == 0) return VBL_OK;
  vbl_fail_errno(err, "write", path);
  unlink(temporary);
  return VBL_EIO;
}

static vbl_status make(const vbl_fetch *f, const vbl_image *whole, const vbl_bytes *body, vbl_image *small, vbl_bytes *bytes,
                       vbl_error *err) {
  if (f->o.resize == VBL_FETCH_NO) {
    *small = (vbl_image){whole->width, whole->height, NULL};
    return vbl_bytes_add(bytes, body->data, body->size, err);
  }
  VBL_TRY(resize(whole, &f->o, small, err));
  return encode(small->rgb, small->width, small->height, bytes, err);
}

static vbl_status keep(const vbl_fetch *f, const vbl_fetch_shard *s, int32_t row, const vbl_bytes *body, const vbl_bytes *bytes,
                       const vbl_image *whole, const vbl_image *small, long http, char **result, vbl_error *err) {
  char sha[65], path[PATH_MAX];
  const char *suffix = f->o.resize == VBL_FETCH_NO && body->data[0] == 0x89 ? "png" : "jpg";
  vbl_sha256 sum;
  vbl_sha256_init(&sum);
  vbl_sha256_update(&sum, body->data, body->size);
  vbl_sha256_final(&sum, sha);
  if (!vbl_fetch_image_path(f, s->number, sha, suffix, path, sizeof path))
    return vbl_fail(err, VBL_EINVAL, "%s: path too long", f->out);
  if (f->o.form == VBL_FETCH_FILES) {
    char *slash = strrchr(path, '/');
    *slash = 0;
    if (access(path, F_OK) != 0) VBL_TRY(vbl_folder_make(path, NULL, err));
    *slash = '/';
  }
  VBL_TRY(store(path, s->first + row, bytes, err));
  int n = asprintf(result, "success\t\t%ld\t%zu\t%d\t%d\t%d\t%d\t%s\t%s", http, body->size, small->width, small->height,
                   whole->width, whole->height, sha, suffix);
  return n > 0 ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "out of memory for a result");
}

vbl_status vbl_fetch_image(const vbl_fetch *f, const vbl_fetch_shard *s, int32_t row, const vbl_bytes *body, long http,
                           char **result, vbl_error *err) {
  vbl_image whole = {0}, small = {0};
  vbl_bytes bytes = {0};
  *result = NULL;
  vbl_status status = vbl_image_decode(body->data, body->size, &whole, err);
  if (status == VBL_OK) status = make(f, &whole, body, &small, &bytes, err);
  if (status == VBL_EIO) {  // the image's fault
    char *detail = strdup(err != NULL ? err->message : "");
    if (detail != NULL) clean(detail), *result = vbl_fetch_failure("not_an_image", detail, http);
    free(detail);
    status = *result != NULL ? VBL_OK : VBL_ENOMEM;
  } else if (status == VBL_OK) {
    status = keep(f, s, row, body, &bytes, &whole, &small, http, result, err);
  }
  vbl_image_free(&whole);
  free(small.rgb);
  vbl_bytes_free(&bytes);
  return status;
}
#endif
