// MM-IMDb's pixels: a small file in exactly the form of multimodal_imdb.hdf5, written here; without libhdf5 the message that says so.
#include <stdlib.h>
#include <unistd.h>

#include "core/data/hdf5_images.h"
#include "tests/check.h"

static char path[] = "/tmp/vbl-test-hdf5-XXXXXX";

#ifdef VBL_HDF5
#include <hdf5.h>

enum { N = 3, H = 6, W = 4 };

// What the makers did: RGB -> BGR, minus the means, to int32 as C casts (towards zero).
static int32_t stored(uint8_t level, int channel_bgr) {
  static const double mean[3] = {103.939, 116.779, 123.68};
  return (int32_t)(level - mean[channel_bgr]);
}

static uint8_t level_at(int row, int channel_rgb, int i) { return (uint8_t)(row * 90 + channel_rgb * 31 + i * 7); }

static void write_file(void) {
  static int32_t images[N][3][H * W];
  static const char ids[N][7] = {"0000001", "0000022", "0300333"};
  for (int n = 0; n < N; n++)
    for (int c = 0; c < 3; c++)
      for (int i = 0; i < H * W; i++) images[n][c][i] = stored(level_at(n, 2 - c, i), c);
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  hid_t space = H5Screate_simple(4, (hsize_t[]){N, 3, H, W}, NULL);
  hid_t set = H5Dcreate2(file, "images", H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  CHECK(H5Dwrite(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, images) >= 0);
  H5Dclose(set);
  H5Sclose(space);
  hid_t text = H5Tcopy(H5T_C_S1);
  H5Tset_size(text, 7);
  H5Tset_strpad(text, H5T_STR_NULLPAD);
  space = H5Screate_simple(1, (hsize_t[]){N}, NULL);
  set = H5Dcreate2(file, "imdb_ids", text, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  CHECK(H5Dwrite(set, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, ids) >= 0);
  H5Dclose(set);
  H5Sclose(space);
  H5Tclose(text);
  H5Fclose(file);
}

static void test_file(void) {
  vbl_error err = {0};
  vbl_bytes ids = {0};
  vbl_image image;
  int64_t n;
  write_file();
  CHECK_OK(vbl_hdf5_ids(path, &ids, &n, &err), err);
  CHECK(n == N && ids.size == N * 8 &&
        memcmp(ids.data,
               "0000001\0"
               "0000022\0"
               "0300333",
               24) == 0);
  vbl_bytes_free(&ids);
  static const int cut[3] = {123, 116, 103};  // of R, G, B: this level and the next were stored as one value
  for (int row = 0; row < N; row++) {
    CHECK_OK(vbl_hdf5_image(path, row, &image, &err), err);
    CHECK(image.width == W && image.height == H);
    for (int i = 0; i < H * W; i++)
      for (int c = 0; c < 3; c++) {
        int level = level_at(row, c, i), got = image.rgb[3 * i + c];
        CHECK(got == level || (level == cut[c] && got == level + 1));
      }
    vbl_image_free(&image);
  }
  CHECK(vbl_hdf5_image(path, N, &image, &err) == VBL_EIO && strstr(err.message, "row 3 of 3 images") != NULL);
}
#endif

int main(void) {
  vbl_error err = {0};
  vbl_image image;
  int fd = mkstemp(path);
  if (fd < 0) return 1;
  CHECK(write(fd, "no HDF5", 7) == 7);
  close(fd);
  CHECK(vbl_hdf5_image(path, 0, &image, &err) == VBL_EIO);
#ifdef VBL_HDF5
  CHECK(strstr(err.message, "no HDF5 file that can be opened") != NULL);
  test_file();
#else
  CHECK(strstr(err.message, "built without libhdf5: apt-get install libhdf5-dev") != NULL);
#endif
  unlink(path);
  return check_done();
}
