// JPEG by libjpeg-turbo, where it is there at build time (VBL_LIBJPEG); else image_decode.c leaves JPEG to stb_image.
// The accurate integer DCT and smooth upsampling, both libjpeg's defaults, are what PIL decodes with: the same grey levels.
// defines: vbl_jpeg_decode, vbl_image_jpeg_decoder
#include "core/data/image_jpeg.h"

#ifdef VBL_LIBJPEG
// clang-format off
#include <setjmp.h>
#include <stdio.h>  // before jpeglib.h, which uses FILE
#include <stdlib.h>
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

// libjpeg ends an error by a jump to `back`; nothing between setjmp and the jump owns memory that is not in the state.
typedef struct state {
  struct jpeg_error_mgr manager;
  struct jpeg_decompress_struct jpeg;
  jmp_buf back;
  char message[JMSG_LENGTH_MAX];
  uint8_t *rgb, *row;
} state;

static void on_error(j_common_ptr jpeg) {
  state *s = jpeg->client_data;
  jpeg->err->format_message(jpeg, s->message);
  longjmp(s->back, 1);
}

// Warnings that mean lost pixels end the decoding; the rest (odd version numbers, bytes between segments) is ignored, as in PIL.
static void on_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  switch (jpeg->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
      on_error(jpeg);
      break;
    default:
      break;
  }
}

// A gray row to RGB, in place from its end.
static void spread_gray(uint8_t *row, size_t width) {
  for (size_t x = width; x-- > 0;) row[3 * x] = row[3 * x + 1] = row[3 * x + 2] = row[x];
}

// Adobe stores 255 - ink, so that 255 (1 - C)(1 - K) is a product of what is stored; rounded as PIL rounds it.
static void from_cmyk(const uint8_t *cmyk, uint8_t *rgb, size_t width) {
  for (size_t x = 0; x < width; x++) {
    for (size_t c = 0; c < 3; c++) {
      unsigned nk = cmyk[4 * x + 3], t = (255u - cmyk[4 * x + c]) * nk + 128;
      rgb[3 * x + c] = (uint8_t)(nk - ((t + (t >> 8)) >> 8));
    }
  }
}

static void decode_rows(state *s) {
  struct jpeg_decompress_struct *j = &s->jpeg;
  size_t width = j->output_width;
  while (j->output_scanline < j->output_height) {
    uint8_t *out = s->rgb + 3 * width * j->output_scanline, *to = s->row != NULL ? s->row : out;
    jpeg_read_scanlines(j, &to, 1);
    if (s->row != NULL) from_cmyk(s->row, out, width);
    if (j->output_components == 1) spread_gray(out, width);
  }
}

static vbl_status decode(state *s, const uint8_t *bytes, size_t n, vbl_image *out, vbl_error *err) {
  struct jpeg_decompress_struct *j = &s->jpeg;
  if (setjmp(s->back) != 0)
    return s->manager.msg_code == JERR_OUT_OF_MEMORY ? vbl_fail(err, VBL_ENOMEM, "out of memory for an image")
                                                     : vbl_fail(err, VBL_EIO, "damaged image data (%.200s)", s->message);
  jpeg_create_decompress(j);
  jpeg_mem_src(j, bytes, (unsigned long)n);
  jpeg_read_header(j, TRUE);
  j->out_color_space = j->num_components == 4 ? JCS_CMYK : j->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(j);
  s->rgb = malloc(3 * (size_t)j->output_width * j->output_height);
  if (j->num_components == 4) s->row = malloc(4 * (size_t)j->output_width);
  if (s->rgb == NULL || (j->num_components == 4 && s->row == NULL))
    return vbl_fail(err, VBL_ENOMEM, "out of memory for an image of %u x %u", j->output_width, j->output_height);
  decode_rows(s);
  jpeg_finish_decompress(j);
  *out = (vbl_image){(int)j->output_width, (int)j->output_height, s->rgb};
  s->rgb = NULL;
  return VBL_OK;
}

const char *vbl_image_jpeg_decoder(void) {
#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)
#ifdef LIBJPEG_TURBO_VERSION
  return "libjpeg-turbo " TEXT(LIBJPEG_TURBO_VERSION);
#else
  return "libjpeg " TEXT(JPEG_LIB_VERSION);
#endif
}

vbl_status vbl_jpeg_decode(const uint8_t *bytes, size_t n, vbl_image *out, vbl_error *err) {
  state s = {0};
  s.jpeg.err = jpeg_std_error(&s.manager);
  s.jpeg.client_data = &s;
  s.manager.error_exit = on_error;
  s.manager.emit_message = on_message;
  vbl_status status = decode(&s, bytes, n, out, err);
  jpeg_destroy_decompress(&s.jpeg);
  free(s.row);
  free(s.rgb);
  return status;
}
#else

const char *vbl_image_jpeg_decoder(void) { return "stb_image"; }
#endif
