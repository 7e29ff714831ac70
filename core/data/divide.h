// A share of a view held out for validation, where a data set has no split for it.
// defines: vbl_view_divide
#pragma once
#include "core/data/source.h"

// Each image of the view goes, with all samples that show it, to `held` with probability `share`, else to `kept`, both in the view's
// order. The draw is Philox of the id of the image's first sample: the same for every seed, machine and order of runs, and another one
// than that which draws a test split. view's n samples have room in each; VBL_EINVAL where one of them stays empty.
vbl_status vbl_view_divide(const vbl_view *view, double share, int32_t *kept, int32_t *kept_count, int32_t *held,
                           int32_t *held_count, vbl_error *err);
