// What the losses share.
// defines: vbl_total, vbl_loss_sum, vbl_loss_rows
#pragma once
#include "core/ops/common.h"

// The sum of x (contiguous), a scalar; 0 of nothing.
vbl_status vbl_total(vbl_call *c, const vbl_real *r, const vbl_tensor *x, vbl_tensor **sum, vbl_error *err);
// out[0] = sum of x (contiguous) / divisor, a scalar; 0 where the divisor is 0.
vbl_status vbl_loss_sum(vbl_call *c, const vbl_real *r, const vbl_tensor *x, double divisor, vbl_error *err);
// The scalar gradient dloss repeated N times, without reading it on the host.
vbl_status vbl_loss_rows(vbl_call *c, const vbl_real *r, const vbl_tensor *dloss, int64_t N, vbl_tensor **rows, vbl_error *err);
