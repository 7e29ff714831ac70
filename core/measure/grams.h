// Scalar products of linear kernels without the kernels. Inside core/measure only.
// defines: vbl_gram_products
#pragma once
#include "core/measure/prepared.h"

// out[a count + b] = <K_a, K_b> = |Xa'Xb|_F^2 for the Gram matrices K = Xc Xc' of `count` centred matrices of the same n, by tiles of the
// K: n^2 d multiplications a matrix and n^2 / 2 a pair, where |Xa'Xb|^2 itself takes n da db a pair. Nothing is n x n. The diagonals
// are exact; where all data came as f32, there is much to multiply (n d^2 > 2e8 for the least d) and none cancels (prepared.h) the rest is
// multiplied in f32 and summed in f64: relative error about 1e-8, as with vbl_prepared_cross. The same bits whatever the number of threads.
// A self product of n <= d, which vbl_prepared_self would make so, is kept in the matrix.
vbl_status vbl_gram_products(vbl_prepared *const *matrices, int64_t count, double *out, vbl_error *err);
