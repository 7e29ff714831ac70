// OpenBLAS behind a row-major face. A row-major matrix is the transpose of the column-major one in the same memory, so
// A = U S V' here is A' = V S U' there: U and V' change places, nothing is copied.
// defines: vbl_lapack_open, vbl_gemm, vbl_syrk, vbl_svd_values, vbl_svd_full, vbl_svd_left, vbl_symmetric_eigen, vbl_band,
// vbl_leading_eigen
#include "core/measure/lapack.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/openblas.h"
#include "core/measure/prepared.h"

typedef void dgemm_fn(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda, const double *b,
                      int ldb, double beta, double *c, int ldc);
typedef void dsyrk_fn(int order, int uplo, int trans, int n, int k, double alpha, const double *a, int lda, double beta, double *c,
                      int ldc);
// The trailing size_t arguments are the hidden lengths of Fortran's character arguments.
typedef void dgesdd_fn(const char *job, const int *m, const int *n, double *a, const int *lda, double *s, double *u, const int *ldu,
                       double *vt, const int *ldvt, double *work, const int *lwork, int *iwork, int *info, size_t);
typedef void dgeqrf_fn(const int *m, const int *n, double *a, const int *lda, double *tau, double *work, const int *lwork,
                       int *info);
typedef void dsyevd_fn(const char *job, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work,
                       const int *lwork, int *iwork, const int *liwork, int *info, size_t, size_t);
typedef void dsytrd_fn(const char *uplo, const int *n, double *a, const int *lda, double *d, double *e, double *tau, double *work,
                       const int *lwork, int *info, size_t);
typedef void dsytrd_sy2sb_fn(const char *uplo, const int *n, const int *width, double *a, const int *lda, double *band,
                             const int *ldband, double *tau, double *work, const int *lwork, int *info, size_t);
typedef void dstemr_fn(const char *job, const char *range, const int *n, double *d, double *e, const double *vl, const double *vu,
                       const int *il, const int *iu, int *found, double *w, double *z, const int *ldz, const int *nzc, int *support,
                       int *tryrac, double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t, size_t);
typedef void dormtr_fn(const char *side, const char *uplo, const char *trans, const int *m, const int *n, const double *a,
                       const int *lda, const double *tau, double *c, const int *ldc, double *work, const int *lwork, int *info,
                       size_t, size_t, size_t);

static struct {
  pthread_once_t once;
  dgemm_fn *dgemm;
  dsyrk_fn *dsyrk;
  dgesdd_fn *dgesdd;
  dgeqrf_fn *dgeqrf;
  dsyevd_fn *dsyevd;
  dsytrd_fn *dsytrd;
  dsytrd_sy2sb_fn *dsytrd_sy2sb;
  dstemr_fn *dstemr;
  dormtr_fn *dormtr;
  const char *core;
  vbl_status status;
  vbl_error error;
} blas = {.once = PTHREAD_ONCE_INIT};

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112, UPPER = 121 };

#define SERIAL(call)                           \
  do {                                         \
    int threads = vbl_openblas_serial_begin(); \
    call;                                      \
    vbl_openblas_serial_end(threads);          \
  } while (0)

static void symbol(const char *name, void *function) {
  if (blas.status == VBL_OK) blas.status = vbl_openblas_symbol(name, function, &blas.error);
}

static void open_library(void) {
  blas.status = vbl_openblas_open(&blas.core, &blas.error);
  symbol("cblas_dgemm", &blas.dgemm);
  symbol("cblas_dsyrk", &blas.dsyrk);
  symbol("dgesdd_", &blas.dgesdd);
  symbol("dgeqrf_", &blas.dgeqrf);
  symbol("dsyevd_", &blas.dsyevd);
  symbol("dsytrd_", &blas.dsytrd);
  symbol("dsytrd_sy2sb_", &blas.dsytrd_sy2sb);
  symbol("dstemr_", &blas.dstemr);
  symbol("dormtr_", &blas.dormtr);
}

vbl_status vbl_lapack_open(const char **core, vbl_error *err) {
  pthread_once(&blas.once, open_library);
  if (blas.status != VBL_OK) return vbl_fail(err, blas.status, "%s", blas.error.message);
  if (core != NULL) *core = blas.core;
  return VBL_OK;
}

static vbl_status check_size(int64_t m, int64_t n, vbl_error *err) {
  VBL_TRY(vbl_lapack_open(NULL, err));
  if (m < 1 || n < 1 || m > INT_MAX || n > INT_MAX)
    return vbl_fail(err, VBL_EINVAL, "matrix of %lld x %lld: expected sizes from 1 to 2^31 - 1", (long long)m, (long long)n);
  return VBL_OK;
}

void vbl_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t lda, const double *b,
              int64_t ldb, double beta, double *c, int64_t ldc) {
  SERIAL(blas.dgemm(ROW_MAJOR, ta ? TRANS : NO_TRANS, tb ? TRANS : NO_TRANS, (int)m, (int)n, (int)k, alpha, a, (int)lda, b,
                    (int)ldb, beta, c, (int)ldc));
}

void vbl_syrk(bool transposed, int64_t r, int64_t k, const double *a, int64_t lda, double *c) {
  SERIAL(blas.dsyrk(ROW_MAJOR, UPPER, transposed ? TRANS : NO_TRANS, (int)r, (int)k, 1, a, (int)lda, 0, c, (int)r));
}

// job 'N': s alone; 'S': thin factors. u and vt are those of the row-major matrix.
static vbl_status gesdd(char job, int64_t rows, int64_t columns, double *a, double *u, double *s, double *vt, vbl_error *err) {
  VBL_TRY(check_size(rows, columns, err));
  int m = (int)columns, n = (int)rows, r = m < n ? m : n, lwork = -1, info = 0;
  double query = 0;
  SERIAL(blas.dgesdd(&job, &m, &n, a, &m, s, vt, &m, u, &r, &query, &lwork, NULL, &info, 1));
  lwork = query < (double)INT_MAX ? (int)query : INT_MAX;
  double *work = malloc(sizeof(double) * (size_t)lwork);
  int *iwork = malloc(sizeof(int) * 8 * (size_t)r);
  vbl_status status = VBL_OK;
  if (work == NULL || iwork == NULL)
    status = vbl_fail(err, VBL_ENOMEM, "SVD of %d x %d: out of memory", n, m);
  else
    SERIAL(blas.dgesdd(&job, &m, &n, a, &m, s, vt, &m, u, &r, work, &lwork, iwork, &info, 1));
  if (status == VBL_OK && info != 0)
    status = vbl_fail(err, VBL_ENUMERIC, "SVD of %d x %d did not converge (dgesdd info %d)", n, m, info);
  free(work);
  free(iwork);
  return status;
}

vbl_status vbl_svd_values(int64_t m, int64_t n, double *a, double *s, vbl_error *err) {
  return gesdd('N', m, n, a, NULL, s, NULL, err);
}

vbl_status vbl_svd_full(int64_t m, int64_t n, double *a, double *u, double *s, double *vt, vbl_error *err) {
  return gesdd('S', m, n, a, u, s, vt, err);
}

// For m < n: A' = Q R (the column-major view of A's memory is tall), so A = R' Q' has the left factor and singular values of R'.
// Puts R' as a row-major (m, m) matrix into r: R' there is R in column-major memory, its upper triangle.
static vbl_status reduce_wide(int64_t m, int64_t n, double *a, double *r, vbl_error *err) {
  int rows = (int)n, columns = (int)m, lwork = -1, info = 0;
  double query = 0, *tau = NULL, *work = NULL;
  SERIAL(blas.dgeqrf(&rows, &columns, a, &rows, &query, &query, &lwork, &info));
  lwork = (int)query;
  vbl_status status = vbl_doubles(columns, "QR", &tau, err);
  if (status == VBL_OK) status = vbl_doubles(lwork, "QR", &work, err);
  if (status == VBL_OK) {
    SERIAL(blas.dgeqrf(&rows, &columns, a, &rows, tau, work, &lwork, &info));
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < m; j++) r[i * m + j] = j <= i ? a[i * n + j] : 0;
  }
  free(tau);
  free(work);
  return status;
}

vbl_status vbl_svd_left(int64_t m, int64_t n, double *a, double *u, double *s, vbl_error *err) {
  VBL_TRY(check_size(m, n, err));
  int64_t r = m < n ? m : n;
  double *core = NULL, *vt = NULL;
  vbl_status status = VBL_OK;
  if (m < n) {
    status = vbl_doubles(m * m, "SVD", &core, err);
    if (status == VBL_OK) status = reduce_wide(m, n, a, core, err);
  }
  if (status == VBL_OK) status = vbl_doubles(r * r, "SVD", &vt, err);
  if (status == VBL_OK) status = gesdd('S', m, m < n ? m : n, core != NULL ? core : a, u, s, vt, err);
  free(core);
  free(vt);
  return status;
}

vbl_status vbl_symmetric_eigen(int64_t n, double *a, double *w, bool vectors, vbl_error *err) {
  VBL_TRY(check_size(n, n, err));
  int size = (int)n, lwork = -1, liwork = -1, info = 0, iquery = 0;
  double query = 0;
  const char *job = vectors ? "V" : "N";
  SERIAL(blas.dsyevd(job, "L", &size, a, &size, w, &query, &lwork, &iquery, &liwork, &info, 1, 1));
  lwork = (int)query;
  liwork = iquery;
  double *work = malloc(sizeof(double) * (size_t)lwork);
  int *iwork = malloc(sizeof(int) * (size_t)liwork);
  vbl_status status = VBL_OK;
  if (work == NULL || iwork == NULL)
    status = vbl_fail(err, VBL_ENOMEM, "eigenvalues of %d x %d: out of memory", size, size);
  else
    SERIAL(blas.dsyevd(job, "L", &size, a, &size, w, work, &lwork, iwork, &liwork, &info, 1, 1));
  if (status == VBL_OK && info != 0)
    status = vbl_fail(err, VBL_ENUMERIC, "eigenvalues of %d x %d did not converge (dsyevd info %d)", size, size, info);
  free(work);
  free(iwork);
  return status;
}

enum { BLOCK = 64 };  // columns that dsytrd and dormtr may gather

static vbl_status tridiagonal(int64_t n, double *a, double *diagonal, double *beside, double *tau, vbl_error *err) {
  VBL_TRY(check_size(n, n, err));
  int size = (int)n, lwork = n < INT_MAX / BLOCK ? size * BLOCK : size, info = 0;
  double *work = NULL;
  VBL_TRY(vbl_doubles(lwork, "tridiagonal form", &work, err));
  SERIAL(blas.dsytrd("L", &size, a, &size, diagonal, beside, tau, work, &lwork, &info, 1));
  free(work);
  if (info != 0) return vbl_fail(err, VBL_ENUMERIC, "tridiagonal form of %d x %d failed (dsytrd info %d)", size, size, info);
  return VBL_OK;
}

vbl_status vbl_band(int64_t n, double *a, int64_t width, double *band, vbl_error *err) {
  VBL_TRY(check_size(n, n, err));
  int size = (int)n, kd = (int)width, ld = kd + 1, lwork = -1, info = 0;
  double query = 0, *tau = NULL, *work = NULL;
  SERIAL(blas.dsytrd_sy2sb("L", &size, &kd, a, &size, band, &ld, &query, &query, &lwork, &info, 1));
  lwork = (int)query;
  vbl_status status = vbl_doubles(n, "band form", &tau, err);
  if (status == VBL_OK) status = vbl_scratch(lwork, "band form", &work, err);
  if (status == VBL_OK) SERIAL(blas.dsytrd_sy2sb("L", &size, &kd, a, &size, band, &ld, tau, work, &lwork, &info, 1));
  free(tau);
  vbl_scratch_free(lwork, work);
  if (status == VBL_OK && info != 0)
    return vbl_fail(err, VBL_ENUMERIC, "band form of %d x %d failed (dsytrd_sy2sb info %d)", size, size, info);
  return status;
}

// The `count` largest eigenvalues of a tridiagonal matrix, whose two arrays (n) are destroyed, and their eigenvectors.
static vbl_status tridiagonal_leading(int64_t n, int64_t count, double *diagonal, double *beside, double *w, double *vectors,
                                      vbl_error *err) {
  int size = (int)n, columns = (int)count, from = (int)(n - count) + 1, found = 0, tryrac = 1, info = 0;
  int lwork = 18 * size, liwork = 10 * size;
  double none = 0, *work = NULL;
  int *iwork = malloc(sizeof *iwork * (size_t)(10 * n + 2 * count));
  vbl_status status = vbl_doubles(lwork, "leading eigenvectors", &work, err);
  if (status == VBL_OK && iwork == NULL) status = vbl_fail(err, VBL_ENOMEM, "leading eigenvectors: out of memory");
  if (status == VBL_OK)
    SERIAL(blas.dstemr("V", "I", &size, diagonal, beside, &none, &none, &from, &size, &found, w, vectors, &size, &columns,
                       iwork + liwork, &tryrac, work, &lwork, iwork, &liwork, &info, 1, 1));
  if (status == VBL_OK && (info != 0 || found != columns))
    status = vbl_fail(err, VBL_ENUMERIC, "%d leading eigenvalues of %d x %d did not converge (dstemr info %d)", columns, size, size,
                      info);
  free(work);
  free(iwork);
  return status;
}

// Whether all eigenvalues of the tridiagonal matrix exceed `least`: the pivots of T - least I are positive (Sylvester).
static bool all_above(int64_t n, const double *diagonal, const double *beside, double least) {
  double pivot = diagonal[0] - least;
  for (int64_t i = 1; i < n && pivot > 0; i++) pivot = diagonal[i] - least - beside[i - 1] * beside[i - 1] / pivot;
  return pivot > 0;
}

vbl_status vbl_leading_eigen(int64_t n, double *a, int64_t count, double share, double *w, double *vectors, bool *above,
                             vbl_error *err) {
  VBL_TRY(check_size(n, n, err));
  int size = (int)n, columns = (int)count, lwork = columns * BLOCK, info = 0;
  double *t = NULL, *work = NULL;
  vbl_status status = vbl_doubles(5 * n, "leading eigenvectors", &t, err);
  if (status == VBL_OK) status = vbl_doubles(lwork, "leading eigenvectors", &work, err);
  if (status == VBL_OK) status = tridiagonal(n, a, t, t + n, t + 2 * n, err);
  if (status == VBL_OK) {
    memcpy(t + 3 * n, t, sizeof *t * (size_t)(2 * n));
    status = tridiagonal_leading(n, count, t + 3 * n, t + 4 * n, w, vectors, err);
  }
  if (status == VBL_OK) {
    *above = all_above(n, t, t + n, share * w[count - 1]);
    SERIAL(blas.dormtr("L", "L", "N", &size, &columns, a, &size, t + 2 * n, vectors, &size, work, &lwork, &info, 1, 1, 1));
  }
  free(t);
  free(work);
  return status;
}
