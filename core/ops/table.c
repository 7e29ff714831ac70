// All ops, for the tests that run over them and for the bindings that look them up by name.
// defines: vbl_op_table, vbl_op_find
#include <string.h>

#include "core/ops/ops.h"

#define ROW(name) &vbl_op_##name,
const vbl_op *const vbl_op_table[] = {VBL_OPS(ROW) NULL};

const vbl_op *vbl_op_find(const char *name) {
  for (int i = 0; vbl_op_table[i] != NULL; i++)
    if (strcmp(vbl_op_table[i]->name, name) == 0) return vbl_op_table[i];
  return NULL;
}
