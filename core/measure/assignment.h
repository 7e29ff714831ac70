// defines: vbl_assignment
#pragma once
#include "core/base/status.h"

// The least total cost of a one-to-one matching of rows and columns; cost: (n, n), finite.
vbl_status vbl_assignment(const double *cost, int64_t n, double *total, vbl_error *err);
