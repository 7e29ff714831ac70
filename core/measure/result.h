// How a measure starts and ends its result. Inside core/measure only.
// defines: vbl_begin_pair, vbl_begin_compact, vbl_begin_one, vbl_value, vbl_undefined, vbl_extra, vbl_same_space
#pragma once
#include "core/measure/measure.h"

// Empties r, checks that x and y have the same number of rows, at least n_min, and notes sizes and duplicates.
// Makes raw and centred rows (vbl_prepared_rows).
vbl_status vbl_begin_pair(const char *measure, vbl_prepared *x, vbl_prepared *y, int64_t n_min, vbl_measure_result *r,
                          vbl_error *err);
// The same without those, for measures that read rows one by one.
vbl_status vbl_begin_compact(const char *measure, const vbl_prepared *x, const vbl_prepared *y, int64_t n_min,
                             vbl_measure_result *r, vbl_error *err);
vbl_status vbl_begin_one(const char *measure, vbl_prepared *x, int64_t n_min, vbl_measure_result *r, vbl_error *err);
// The result's value; what is not finite becomes NaN with OVERFLOW.
vbl_status vbl_value(vbl_measure_result *r, double value);
// NaN with a status.
vbl_status vbl_undefined(vbl_measure_result *r, vbl_measure_status status);
void vbl_extra(vbl_measure_result *r, const char *name, double value);
// False, with the result marked NOT_COMPARABLE, when the widths differ.
bool vbl_same_space(vbl_measure_result *r);
