// Records: the images, checked and read.
// defines: vbl_records_check_images, vbl_records_{read,decode}_image
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/interrupt.h"
#include "core/data/hdf5_images.h"
#include "core/data/records.h"

// The file that holds the image, and the folder that its name begins at.
static const char *file_of(const vbl_records *r, int32_t image) {
  int32_t archive = r->images[image].archive;
  return archive < 0 ? vbl_vocabulary_token(r->image_name, image) : vbl_vocabulary_token(r->archives, archive);
}

static const char *base_of(const vbl_records *r, int32_t image) { return file_of(r, image)[0] == '/' ? "" : r->folder; }

static vbl_status path_of(const vbl_records *r, int32_t image, vbl_bytes *out, vbl_error *err) {
  const char *name = file_of(r, image), *base = base_of(r, image);
  VBL_TRY(vbl_bytes_add_text(out, base, err));
  return vbl_bytes_add(out, name, strlen(name) + 1, err);
}

static vbl_status read_range(int fd, const vbl_stored_image *i, vbl_bytes *out, vbl_error *err) {
  if (i->bytes > VBL_IMAGE_MAX_BYTES) return vbl_fail(err, VBL_EIO, "%lld bytes, more than an image may have", (long long)i->bytes);
  uint8_t *data = malloc((size_t)i->bytes + 1);
  if (data == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for an image of %lld bytes", (long long)i->bytes);
  for (int64_t done = 0; done < i->bytes;) {
    ssize_t got = pread(fd, data + done, (size_t)(i->bytes - done), i->offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got > 0) {
      done += got;
      continue;
    }
    const char *why = got == 0 ? "the archive ends within the image" : strerror(errno);
    free(data);
    return vbl_fail(err, VBL_EIO, "%s", why);
  }
  vbl_status status = vbl_bytes_add(out, data, (size_t)i->bytes, err);
  free(data);
  return status;
}

static vbl_status read_stored(const vbl_records *r, int32_t image, const char *path, vbl_bytes *out, vbl_error *err) {
  if (r->images[image].archive < 0) {
    vbl_bytes file;
    VBL_TRY(vbl_bytes_read(path, VBL_IMAGE_MAX_BYTES, &file, err));
    if (out->size == 0) {
      vbl_bytes_free(out);
      *out = file;
      return VBL_OK;
    }
    vbl_status status = vbl_bytes_add(out, file.data, file.size, err);
    vbl_bytes_free(&file);
    return status;
  }
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    int code = errno;
    return vbl_fail(err, vbl_status_of_errno(code), "%s: %s", path, strerror(code));
  }
  vbl_status status = read_range(fd, &r->images[image], out, err);
  close(fd);
  if (status == VBL_OK) return VBL_OK;
  return vbl_context(err, "%s%s", base_of(r, image), vbl_vocabulary_token(r->image_name, image));
}

static vbl_status read_row(const vbl_records *r, int32_t image, vbl_image *out, vbl_error *err) {
  vbl_bytes path = {0};
  vbl_status status = path_of(r, image, &path, err);
  if (status == VBL_OK) status = vbl_hdf5_image((const char *)path.data, r->images[image].offset, out, err);
  vbl_bytes_free(&path);
  return status;
}

static bool is_row(const vbl_records *r, int32_t image) { return r->images[image].archive >= 0 && r->images[image].bytes < 0; }

static vbl_status add_pixels(const vbl_image *image, vbl_bytes *out, vbl_error *err) {
  return vbl_bytes_add(out, image->rgb, 3 * (size_t)image->width * (size_t)image->height, err);
}

vbl_status vbl_records_decode_image(const vbl_records *r, int32_t image, vbl_image *out, vbl_bytes *stored, vbl_error *err) {
  vbl_bytes own = {0}, *bytes = stored == NULL ? &own : stored;
  size_t before = bytes->size;
  *out = (vbl_image){0};
  if (is_row(r, image)) {
    VBL_TRY(read_row(r, image, out, err));
    return stored == NULL ? VBL_OK : add_pixels(out, stored, err);
  }
  vbl_status status = vbl_records_read_image(r, image, bytes, err);
  if (status == VBL_OK && vbl_image_decode(bytes->data + before, bytes->size - before, out, err) != VBL_OK)
    status = vbl_context(err, "%s%s", base_of(r, image), vbl_vocabulary_token(r->image_name, image));
  vbl_bytes_free(&own);
  return status;
}

vbl_status vbl_records_read_image(const vbl_records *r, int32_t image, vbl_bytes *out, vbl_error *err) {
  vbl_bytes path = {0};
  if (is_row(r, image)) {
    vbl_image pixels;
    VBL_TRY(read_row(r, image, &pixels, err));
    vbl_status added = add_pixels(&pixels, out, err);
    vbl_image_free(&pixels);
    return added;
  }
  vbl_status status = path_of(r, image, &path, err);
  if (status == VBL_OK) status = read_stored(r, image, (const char *)path.data, out, err);
  vbl_bytes_free(&path);
  return status;
}

// Above this number opening does not look at files: what is bad is met when its batch is made.
enum { CHECKED_IMAGES = 200000 };

static vbl_status check_file(const vbl_records *r, int32_t image, int64_t *size, vbl_error *err) {
  struct stat st = {0};
  vbl_bytes path = {0};
  vbl_status status = path_of(r, image, &path, err);
  if (status == VBL_OK) {
    *size = stat((const char *)path.data, &st) == 0 ? (int64_t)st.st_size : -1;
    status = vbl_image_probe((const char *)path.data, err);
  }
  vbl_bytes_free(&path);
  return status;
}

static vbl_status check_range(const vbl_records *r, int32_t image, int64_t *size, vbl_error *err) {
  vbl_bytes bytes = {0};
  *size = r->images[image].bytes;
  if (is_row(r, image)) return VBL_OK;  // the reader has looked the row up; half a megabyte a film is not read now
  vbl_status status = vbl_records_read_image(r, image, &bytes, err);
  if (status == VBL_OK && vbl_image_check(bytes.data, bytes.size, err) != VBL_OK)
    status = vbl_context(err, "%s%s", base_of(r, image), vbl_vocabulary_token(r->image_name, image));
  vbl_bytes_free(&bytes);
  return status;
}

// A slice of the images at a time: checked by all threads, then counted and noted in their order.
static vbl_status check_slice(vbl_records *r, int32_t first, int32_t end, int64_t *size, vbl_error *why, int32_t *missing,
                              vbl_error *err) {
#pragma omp parallel for schedule(dynamic, 16)
  for (int32_t i = first; i < end; i++) {
    vbl_status status = r->images[i].archive < 0 ? check_file(r, i, &size[i - first], &why[i - first])
                                                 : check_range(r, i, &size[i - first], &why[i - first]);
    r->images[i].bad = status != VBL_OK;
  }
  for (int32_t i = first; i < end; i++) {
    r->hash = vbl_hash_bytes(r->hash, &size[i - first], sizeof *size);
    if (!r->images[i].bad) continue;
    if (why[i - first].code == VBL_ENOMEM) return vbl_fail(err, VBL_ENOMEM, "%s", why[i - first].message);
    *missing += size[i - first] < 0;
    r->bad_images++;
    VBL_TRY(vbl_records_note(r, err, "image %s; skipped with its texts", why[i - first].message));
  }
  return VBL_OK;
}

vbl_status vbl_records_check_images(vbl_records *r, const char *name, vbl_error *err) {
  enum { SLICE = 512 };
  int32_t n = vbl_vocabulary_size(r->image_name), missing = 0;
  char what[100];
  if (n > CHECKED_IMAGES)
    return vbl_records_note(
        r, err, "%d images: too many to look at now; a bad one is met when its batch is made (data:check() looks at all)", n);
  size_t from = r->report.size;
  int64_t *size = calloc(SLICE, sizeof *size);
  vbl_error *why = calloc(SLICE, sizeof *why);
  vbl_status status = size != NULL && why != NULL ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "out of memory for %d images", n);
  for (int32_t i = 0; i < n && status == VBL_OK; i += SLICE) {
    status = vbl_interrupt_check(err);
    if (status == VBL_OK) status = check_slice(r, i, i + SLICE < n ? i + SLICE : n, size, why, &missing, err);
  }
  free(size);
  free(why);
  VBL_TRY(status);
  snprintf(what, sizeof what, missing > 0 ? "images are bad (not there: %d)" : "images are bad", missing);
  VBL_TRY(vbl_records_check_bad(r, name, r->bad_images, n, what, from, err));
  return r->bad_images < n ? VBL_OK : vbl_fail(err, VBL_EIO, "%s: none of its images can be read", name);
}
