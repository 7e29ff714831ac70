// The entry of a ViT (Dosovitskiy et al. 2021, equation 1): pixels to patches, patches to tokens.
// defines: vbl_op_patchify, vbl_op_vit_assemble
#include <inttypes.h>

#include "core/ops/common.h"

static vbl_status check_images(const vbl_call *c, vbl_error *err) {
  const vbl_tensor *x = c->in[0];
  const int64_t p = c->attrs.n[0];
  VBL_TRY(vbl_expect(x, "images", 4, (int64_t[]){-1, 3, -1, -1}, err));
  if (x->dtype == VBL_I32) return vbl_fail(err, VBL_EINVAL, "expected images as u8 or real, got i32");
  if (p < 1 || x->shape[2] % p != 0 || x->shape[3] % p != 0)
    return vbl_fail(err, VBL_EINVAL, "expected images of a multiple of the patch size %" PRId64 ", got %" PRId64 " x %" PRId64, p,
                    x->shape[2], x->shape[3]);
  for (int i = 0; i < 3 && x->dtype == VBL_U8; i++)
    if (c->attrs.v[3 + i] == 0) return vbl_fail(err, VBL_EINVAL, "u8 images need the pixels' mean and a deviation above 0");
  return VBL_OK;
}

// images u8 or real [B,3,S_h,S_w], mask? u8 [B*P] -> [B*P, 3pp], columns (channel, row, column); n[0] = p.
// u8: (value/255 - v[c]) / v[3+c]; reals are taken as they are. Masked patches are zeros.
static vbl_status patchify_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x = c->in[0], *mask = c->inputs > 1 ? c->in[1] : NULL, *y;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(check_images(c, err));
  const bool bytes = x->dtype == VBL_U8;
  const int64_t p = c->attrs.n[0], B = x->shape[0], H = x->shape[2], W = x->shape[3], rows = B * (H / p) * (W / p);
  if (mask != NULL) VBL_TRY(vbl_expect(mask, "mask", 1, &rows, err));
  if (mask != NULL && mask->dtype != VBL_U8)
    return vbl_fail(err, VBL_EINVAL, "expected mask as u8, got %s", vbl_dtype_name(mask->dtype));
  if (!bytes) VBL_TRY(vbl_in_strided(c, &r, 0, &x, err));
  VBL_TRY(vbl_tensor_contiguous(x, &x, err));
  VBL_TRY(vbl_temp_keep(c, x, err));
  if (mask != NULL) {
    VBL_TRY(vbl_tensor_contiguous(mask, &mask, err));
    VBL_TRY(vbl_temp_keep(c, mask, err));
    VBL_TRY(vbl_save(c, 0, mask, err));
  }
  VBL_TRY(vbl_out_real(c, &r, 0, 2, (int64_t[]){rows, 3 * p * p}, &y, err));
  r.be->patchify(x->dtype, vbl_tensor_data(x), bytes ? c->attrs.v : NULL, bytes ? c->attrs.v + 3 : NULL,
                 mask == NULL ? NULL : vbl_tensor_data(mask), vbl_tensor_data(y), B, H, W, p, NULL);
  return VBL_OK;
}

// dy with zeros in masked rows: a gather whose index is -1 there.
static vbl_status unmasked(vbl_call *c, const vbl_real *r, vbl_tensor *dy, vbl_tensor **out, vbl_error *err) {
  const vbl_tensor *mask = c->saved[0];
  const int64_t n = dy->shape[0];
  vbl_tensor *row, *off, *index;
  *out = dy;
  if (mask == NULL) return VBL_OK;
  VBL_TRY(vbl_temp_arange(c, r->memory, n, &row, err));
  VBL_TRY(vbl_temp_new(c, r->memory, VBL_I32, 1, &n, &off, err));
  VBL_TRY(vbl_temp_new(c, r->memory, VBL_I32, 1, &n, &index, err));
  VBL_TRY(vbl_tensor_copy(off, mask, err));
  // row - off * (row + 1) in three integer steps: -1 where off is 1.
  vbl_tensor *one;
  VBL_TRY(vbl_temp_new(c, r->memory, VBL_I32, 0, NULL, &one, err));
  VBL_TRY(vbl_tensor_fill(one, 1, err));
  const int64_t step = 1, still = 0;
  void *i = vbl_tensor_data(index), *o = vbl_tensor_data(off), *at = vbl_tensor_data(row);
  r->memory->binary(VBL_ADD, VBL_I32, at, &step, vbl_tensor_data(one), &still, i, 1, &n, NULL);
  r->memory->binary(VBL_MUL, VBL_I32, i, &step, o, &step, i, 1, &n, NULL);
  r->memory->binary(VBL_SUB, VBL_I32, at, &step, i, &step, i, 1, &n, NULL);
  VBL_TRY(vbl_temp_real(c, r, dy->ndim, dy->shape, out, err));
  r->be->gather_rows(vbl_tensor_data(dy), i, vbl_tensor_data(*out), n, dy->shape[1], NULL);
  return VBL_OK;
}

// Patches [B, H/p, W/p, 3, p, p] back to pixels [B, 3, H/p, p, W/p, p]: a permuted view, copied.
static vbl_status patchify_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_meta *m = vbl_input_meta(c, 0);
  const int64_t p = c->attrs.n[0], h = m->shape[2] / p, w = m->shape[3] / p, row = 3 * p * p;
  vbl_tensor *dy, *view, *dx;
  VBL_TRY(unmasked(c, &r, grad[0], &dy, err));
  const int64_t shape[6] = {m->shape[0], 3, h, p, w, p}, stride[6] = {h * w * row, p * p, w * row, p, row, 1};
  VBL_TRY(vbl_tensor_as_strided(dy, 6, shape, stride, dy->offset, &view, err));
  VBL_TRY(vbl_temp_keep(c, view, err));
  VBL_TRY(vbl_tensor_contiguous(view, &dx, err));
  VBL_TRY(vbl_temp_keep(c, dx, err));
  VBL_TRY(vbl_tensor_reshape_view(dx, 4, m->shape, &dx, err));
  VBL_TRY(vbl_temp_keep(c, dx, err));
  return vbl_grad_give(c, 0, dx, err);
}

// patches [B*P,D], cls [1,1,D], pos [1,P+1,D] -> y [B*(P+1),D]: per sample cls, then its patches, plus pos; n[0] = B
static vbl_status assemble_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *cls, *pos, *y;
  const int64_t B = c->attrs.n[0];
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_expect(c->in[0], "patches", 2, (int64_t[]){-1, -1}, err));
  const int64_t D = c->in[0]->shape[1];
  VBL_TRY(vbl_expect(c->in[1], "cls", 3, (int64_t[]){1, 1, D}, err));
  VBL_TRY(vbl_expect(c->in[2], "pos", 3, (int64_t[]){1, -1, D}, err));
  const int64_t P = c->in[2]->shape[1] - 1;
  if (B < 0 || P < 0) return vbl_fail(err, VBL_EINVAL, "expected at least 0 samples and 1 position");
  VBL_TRY(vbl_expect(c->in[0], "patches", 2, (int64_t[]){B * P, D}, err));
  VBL_TRY(vbl_in_real(c, &r, 0, &x, err));
  VBL_TRY(vbl_in_real(c, &r, 1, &cls, err));
  VBL_TRY(vbl_in_real(c, &r, 2, &pos, err));
  VBL_TRY(vbl_out_real(c, &r, 0, 2, (int64_t[]){B * (P + 1), D}, &y, err));
  r.be->vit_assemble(vbl_tensor_data(x), vbl_tensor_data(cls), vbl_tensor_data(pos), vbl_tensor_data(y), B, P, D, NULL);
  return VBL_OK;
}

// A part of dy [B, P+1, D], tokens start .. start + length, as a dense matrix.
static vbl_status tokens(vbl_call *c, const vbl_tensor *dy, int64_t B, int64_t P, int64_t start, int64_t length, vbl_tensor **out,
                         vbl_error *err) {
  vbl_tensor *cube, *part;
  VBL_TRY(vbl_tensor_reshape_view(dy, 3, (int64_t[]){B, P + 1, dy->shape[1]}, &cube, err));
  VBL_TRY(vbl_temp_keep(c, cube, err));
  VBL_TRY(vbl_tensor_narrow(cube, 1, start, length, &part, err));
  VBL_TRY(vbl_temp_keep(c, part, err));
  VBL_TRY(vbl_tensor_contiguous(part, &part, err));
  VBL_TRY(vbl_temp_keep(c, part, err));
  VBL_TRY(vbl_tensor_reshape_view(part, 2, (int64_t[]){B * length, dy->shape[1]}, out, err));
  return vbl_temp_keep(c, *out, err);
}

static vbl_status assemble_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_tensor *dy = grad[0];
  const int64_t B = c->attrs.n[0], D = dy->shape[1], P = B == 0 ? 0 : dy->shape[0] / B - 1;
  vbl_tensor *d, *target;
  bool accumulate;
  if (c->needs_grad[0]) {
    VBL_TRY(tokens(c, dy, B, P, B == 0 ? 0 : 1, P, &d, err));
    VBL_TRY(vbl_grad_give(c, 0, d, err));
  }
  if (c->needs_grad[1]) {
    VBL_TRY(tokens(c, dy, B, P, 0, 1, &d, err));
    VBL_TRY(vbl_grad_target(c, 1, &target, &accumulate, err));
    r.be->column_sum(vbl_tensor_data(d), vbl_tensor_data(target), accumulate, B, D, NULL);
  }
  if (c->needs_grad[2]) {
    VBL_TRY(vbl_grad_target(c, 2, &target, &accumulate, err));
    r.be->column_sum(vbl_tensor_data(dy), vbl_tensor_data(target), accumulate, B, vbl_tensor_numel(target), NULL);
  }
  return VBL_OK;
}

const vbl_op vbl_op_patchify = {"patchify", 1, 2, 1, patchify_forward, patchify_backward};
const vbl_op vbl_op_vit_assemble = {"vit_assemble", 3, 3, 1, assemble_forward, assemble_backward};
