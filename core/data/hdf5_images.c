// Images in HDF5.
// defines: vbl_hdf5_image, vbl_hdf5_ids
#include "core/data/hdf5_images.h"

#include <stdlib.h>
#include <string.h>

#ifdef VBL_HDF5
#include <hdf5.h>
#include <pthread.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

typedef struct opened {
  hid_t file, set, space;
  hsize_t size[4];
} opened;

static void close_all(opened *o) {
  if (o->space >= 0) H5Sclose(o->space);
  if (o->set >= 0) H5Dclose(o->set);
  if (o->file >= 0) H5Fclose(o->file);
}

// Opens a dataset of `ndim` dims. The library's own messages would go to stderr: off.
static vbl_status open_all(const char *path, const char *name, int ndim, opened *o, vbl_error *err) {
  *o = (opened){-1, -1, -1, {0}};
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  o->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  if (o->file < 0) return vbl_fail(err, VBL_EIO, "%s: no HDF5 file that can be opened", path);
  o->set = H5Dopen2(o->file, name, H5P_DEFAULT);
  if (o->set < 0) return vbl_fail(err, VBL_EIO, "%s: no dataset \"%s\" in it", path, name);
  o->space = H5Dget_space(o->set);
  if (o->space < 0 || H5Sget_simple_extent_ndims(o->space) != ndim)
    return vbl_fail(err, VBL_EIO, "%s: \"%s\" has not %d dims", path, name, ndim);
  H5Sget_simple_extent_dims(o->space, o->size, NULL);
  return VBL_OK;
}

// v is p - mean without its fraction, so p is v plus the mean rounded away from where the cut went.
static uint8_t level(int32_t v, int below) {
  int64_t p = v >= 0 ? (int64_t)v + below + 1 : (int64_t)v + below;
  return (uint8_t)(p < 0 ? 0 : p > 255 ? 255 : p);
}

static vbl_status read_row(const opened *o, const char *path, int64_t row, vbl_image *out, vbl_error *err) {
  static const int below[3] = {103, 116, 123};  // of B, G, R
  if (o->size[1] != 3 || o->size[2] > VBL_IMAGE_MAX_SIDE || o->size[3] > VBL_IMAGE_MAX_SIDE ||
      o->size[2] * o->size[3] > VBL_IMAGE_MAX_PIXELS)
    return vbl_fail(err, VBL_EIO, "%s: \"images\" is no [N, 3, height, width]", path);
  if (row < 0 || (hsize_t)row >= o->size[0])
    return vbl_fail(err, VBL_EIO, "%s: row %lld of %lld images", path, (long long)row, (long long)o->size[0]);
  size_t plane = (size_t)(o->size[2] * o->size[3]);
  hsize_t start[4] = {(hsize_t)row, 0, 0, 0}, count[4] = {1, 3, o->size[2], o->size[3]};
  int32_t *values = malloc(3 * plane * sizeof *values);
  out->rgb = malloc(3 * plane);
  if (values == NULL || out->rgb == NULL) {
    free(values);
    return vbl_fail(err, VBL_ENOMEM, "out of memory for an image");
  }
  hid_t memory = H5Screate_simple(4, count, NULL);
  herr_t failed = H5Sselect_hyperslab(o->space, H5S_SELECT_SET, start, NULL, count, NULL);
  if (failed >= 0) failed = H5Dread(o->set, H5T_NATIVE_INT32, memory, o->space, H5P_DEFAULT, values);
  H5Sclose(memory);
  out->height = (int)o->size[2];
  out->width = (int)o->size[3];
  for (size_t i = 0; i < plane && failed >= 0; i++)
    for (size_t c = 0; c < 3; c++) out->rgb[3 * i + 2 - c] = level(values[c * plane + i], below[c]);
  free(values);
  return failed >= 0 ? VBL_OK : vbl_fail(err, VBL_EIO, "%s: row %lld cannot be read", path, (long long)row);
}

vbl_status vbl_hdf5_image(const char *path, int64_t row, vbl_image *out, vbl_error *err) {
  opened o;
  *out = (vbl_image){0};
  pthread_mutex_lock(&turn);
  vbl_status status = open_all(path, "images", 4, &o, err);
  if (status == VBL_OK) status = read_row(&o, path, row, out, err);
  close_all(&o);
  pthread_mutex_unlock(&turn);
  if (status != VBL_OK) vbl_image_free(out);
  return status;
}

static vbl_status read_ids(const opened *o, const char *path, vbl_bytes *out, vbl_error *err) {
  enum { LONGEST = 32 };
  size_t n = (size_t)o->size[0];
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, LONGEST);
  char *text = calloc(n + 1, LONGEST);
  vbl_status status = text == NULL ? vbl_fail(err, VBL_ENOMEM, "out of memory for %zu ids", n) : VBL_OK;
  if (status == VBL_OK && H5Dread(o->set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0)
    status = vbl_fail(err, VBL_EIO, "%s: \"imdb_ids\" holds no strings of fixed length", path);
  for (size_t i = 0; i < n && status == VBL_OK; i++) {
    const char *id = text + i * LONGEST;
    status = vbl_bytes_add(out, id, strnlen(id, LONGEST), err);
    if (status == VBL_OK) status = vbl_bytes_add(out, "", 1, err);
  }
  free(text);
  H5Tclose(type);
  return status;
}

vbl_status vbl_hdf5_ids(const char *path, vbl_bytes *out, int64_t *n, vbl_error *err) {
  opened o;
  pthread_mutex_lock(&turn);
  vbl_status status = open_all(path, "imdb_ids", 1, &o, err);
  if (status == VBL_OK) status = read_ids(&o, path, out, err);
  *n = (int64_t)o.size[0];
  close_all(&o);
  pthread_mutex_unlock(&turn);
  return status;
}

#else

static vbl_status without(const char *path, vbl_error *err) {
  return vbl_fail(err, VBL_EIO,
                  "%s: this vbl was built without libhdf5: apt-get install libhdf5-dev, then configure and build anew", path);
}

vbl_status vbl_hdf5_image(const char *path, int64_t row, vbl_image *out, vbl_error *err) {
  (void)row;
  *out = (vbl_image){0};
  return without(path, err);
}

vbl_status vbl_hdf5_ids(const char *path, vbl_bytes *out, int64_t *n, vbl_error *err) {
  (void)out;
  *n = 0;
  return without(path, err);
}

#endif
