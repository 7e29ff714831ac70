// Moving rows: embedding tables, BERT's sum of three embeddings, gather, scatter.
// defines: vbl_op_embedding, vbl_op_gather_rows, vbl_op_scatter_rows, vbl_op_text_embedding

#include "core/ops/common.h"

// table [V,D] and index i32 [n], checked against [low, V).
static vbl_status table_and_index(vbl_call *c, const vbl_real *r, const char *what, int64_t low, vbl_tensor **table,
                                  vbl_tensor **index, vbl_error *err) {
  VBL_TRY(vbl_expect(c->in[0], "x", 2, (int64_t[]){-1, -1}, err));
  VBL_TRY(vbl_in_i32(c, 1, what, index, err));
  VBL_TRY(vbl_expect(*index, what, 1, (int64_t[]){-1}, err));
  VBL_TRY(vbl_check_index(*index, what, low, c->in[0]->shape[0], err));
  return vbl_in_real(c, r, 0, table, err);
}

static vbl_status gather(vbl_call *c, const char *what, int64_t low, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *index, *y;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(table_and_index(c, &r, what, low, &x, &index, err));
  const int64_t n = index->shape[0], D = x->shape[1];
  VBL_TRY(vbl_out_real(c, &r, 0, 2, (int64_t[]){n, D}, &y, err));
  r.be->gather_rows(vbl_tensor_data(x), vbl_tensor_data(index), vbl_tensor_data(y), n, D, NULL);
  return vbl_save(c, 0, index, err);
}

// Adds rows of dy to the rows that `index` names of input i's gradient.
static vbl_status scatter_to(vbl_call *c, const vbl_real *r, int i, const vbl_tensor *dy, const vbl_tensor *index, vbl_error *err) {
  vbl_tensor *dx;
  if (!c->needs_grad[i]) return VBL_OK;
  VBL_TRY(vbl_grad_zeroed(c, r, i, &dx, err));
  r->be->scatter_add_rows(vbl_tensor_data(dy), vbl_tensor_data(index), vbl_tensor_data(dx), dy->shape[0], dy->shape[1],
                          dx->shape[0], NULL);
  return VBL_OK;
}

static vbl_status gather_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  return scatter_to(c, &r, 0, grad[0], c->saved[0], err);
}

// table [V,D], index i32 [n] -> y[i] = table[index[i]]
static vbl_status embedding_forward(vbl_call *c, vbl_error *err) { return gather(c, "id", 0, err); }

// x [N,D], index i32 [n] -> y[i] = x[index[i]], zeros where the index is -1
static vbl_status gather_forward(vbl_call *c, vbl_error *err) { return gather(c, "index", -1, err); }

// x [n,D], index i32 [n] -> y [rows,D], y[index[i]] += x[i], -1 skipped; n[0] = rows
static vbl_status scatter_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *index, *y;
  const int64_t rows = c->attrs.n[0];
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_expect(c->in[0], "x", 2, (int64_t[]){-1, -1}, err));
  const int64_t n = c->in[0]->shape[0], D = c->in[0]->shape[1];
  VBL_TRY(vbl_in_i32(c, 1, "index", &index, err));
  VBL_TRY(vbl_expect(index, "index", 1, &n, err));
  VBL_TRY(vbl_check_index(index, "index", -1, rows, err));
  VBL_TRY(vbl_in_real(c, &r, 0, &x, err));
  VBL_TRY(vbl_out_real(c, &r, 0, 2, (int64_t[]){rows, D}, &y, err));
  vbl_zero(&r, y);
  r.be->scatter_add_rows(vbl_tensor_data(x), vbl_tensor_data(index), vbl_tensor_data(y), n, D, rows, NULL);
  return vbl_save(c, 0, index, err);
}

static vbl_status scatter_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  vbl_tensor *dx;
  VBL_TRY(vbl_grad_buffer(c, &r, 0, &dx, err));
  r.be->gather_rows(vbl_tensor_data(grad[0]), vbl_tensor_data(c->saved[0]), vbl_tensor_data(dx), dx->shape[0], dx->shape[1], NULL);
  return vbl_grad_commit(c, &r, 0, dx, err);
}

// ids, pos i32 [N], word [V,D], position [L,D], type [2,D] -> y[i] = word[ids[i]] + position[pos[i]] + type[0]
static vbl_status text_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *ids, *pos, *table[3], *y;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_in_i32(c, 0, "ids", &ids, err));
  VBL_TRY(vbl_expect(ids, "ids", 1, (int64_t[]){-1}, err));
  const int64_t n = ids->shape[0];
  VBL_TRY(vbl_in_i32(c, 1, "pos", &pos, err));
  VBL_TRY(vbl_expect(pos, "pos", 1, &n, err));
  VBL_TRY(vbl_expect(c->in[2], "word", 2, (int64_t[]){-1, -1}, err));
  const int64_t D = c->in[2]->shape[1];
  VBL_TRY(vbl_expect(c->in[3], "position", 2, (int64_t[]){-1, D}, err));
  VBL_TRY(vbl_expect(c->in[4], "type", 2, (int64_t[]){2, D}, err));
  VBL_TRY(vbl_check_index(ids, "id", 0, c->in[2]->shape[0], err));
  VBL_TRY(vbl_check_index(pos, "position", 0, c->in[3]->shape[0], err));
  for (int i = 0; i < 3; i++) VBL_TRY(vbl_in_real(c, &r, 2 + i, &table[i], err));
  VBL_TRY(vbl_out_real(c, &r, 0, 2, (int64_t[]){n, D}, &y, err));
  r.be->text_embedding(vbl_tensor_data(ids), vbl_tensor_data(pos), vbl_tensor_data(table[0]), vbl_tensor_data(table[1]),
                       vbl_tensor_data(table[2]), vbl_tensor_data(y), n, D, NULL);
  VBL_TRY(vbl_save(c, 0, ids, err));
  return vbl_save(c, 1, pos, err);
}

static vbl_status text_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_tensor *dy = grad[0];
  VBL_TRY(scatter_to(c, &r, 2, dy, c->saved[0], err));
  VBL_TRY(scatter_to(c, &r, 3, dy, c->saved[1], err));
  if (!c->needs_grad[4]) return VBL_OK;
  vbl_tensor *d_types;
  VBL_TRY(vbl_grad_zeroed(c, &r, 4, &d_types, err));
  r.be->column_sum(vbl_tensor_data(dy), vbl_tensor_data(d_types), true, dy->shape[0], dy->shape[1], NULL);
  return VBL_OK;
}

const vbl_op vbl_op_embedding = {"embedding", 2, 2, 1, embedding_forward, gather_backward};
const vbl_op vbl_op_gather_rows = {"gather_rows", 2, 2, 1, gather_forward, gather_backward};
const vbl_op vbl_op_scatter_rows = {"scatter_rows", 2, 2, 1, scatter_forward, scatter_backward};
const vbl_op vbl_op_text_embedding = {"text_embedding", 5, 5, 1, text_forward, text_backward};
