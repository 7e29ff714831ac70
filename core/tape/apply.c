// Running an op forward, and recording it.
// defines: vbl_apply, vbl_save, vbl_temp_new, vbl_temp_keep, vbl_recording, vbl_set_recording,
// vbl_autocast, vbl_set_autocast, vbl_record_custom, vbl_kernels, vbl_kernels_failed, vbl_tape_reads, vbl_call_end
#include <string.h>

#include "core/base/interrupt.h"
#include "core/tape/node.h"
#include "core/tape/profile.h"
#include "core/tensor/branch.h"
#include "kernels/kernels.h"

static bool recording = true;

bool vbl_recording(void) { return recording; }

bool vbl_set_recording(bool on) {
  bool old = recording;
  recording = on;
  return old;
}

static vbl_precision autocast;

vbl_precision vbl_autocast(void) { return autocast; }

vbl_precision vbl_set_autocast(vbl_precision p) {
  vbl_precision old = autocast;
  autocast = p;
  return old;
}

const vbl_backend *vbl_kernels(const vbl_backend *memory, vbl_dtype dtype) {
  return dtype == VBL_F64 ? vbl_reference_backend() : memory;
}

vbl_status vbl_kernels_failed(const vbl_tensor *result, vbl_error *err) {
  const vbl_backend *memory = result->storage->backend;
  return memory->host ? memory->sync(NULL, err) : VBL_OK;
}

vbl_status vbl_save(vbl_call *c, int slot, const vbl_tensor *t, vbl_error *err) {
  if (!c->recording) return VBL_OK;
  return vbl_tensor_alias(t, &c->saved[slot], err);
}

vbl_status vbl_temp_keep(vbl_call *c, vbl_tensor *t, vbl_error *err) {
  if (c->temps == VBL_MAX_TEMPS) {
    vbl_tensor_release(t);
    return vbl_fail(err, VBL_EINVAL, "more than %d temporaries in one op", VBL_MAX_TEMPS);
  }
  c->temp[c->temps++] = t;
  return VBL_OK;
}

vbl_status vbl_temp_new(vbl_call *c, const vbl_backend *backend, vbl_dtype dtype, int ndim, const int64_t *shape, vbl_tensor **out,
                        vbl_error *err) {
  VBL_TRY(vbl_tensor_new(backend, dtype, ndim, shape, out, err));
  return vbl_temp_keep(c, *out, err);
}

void vbl_tape_reads(vbl_tensor *const *t, int n) {
  for (int i = 0; i < n; i++)
    if (t[i] != NULL) vbl_branch_await(&t[i]->storage->marks, false);
  for (int i = 0; i < n; i++)
    if (t[i] != NULL) vbl_branch_note(&t[i]->storage->marks, false);
}

void vbl_call_end(vbl_call *c) {
  while (c->temps > 0) vbl_tensor_release(c->temp[--c->temps]);
}

static vbl_status check_inputs(const vbl_op *op, vbl_tensor *const *in, int inputs, vbl_error *err) {
  if (inputs < op->min_inputs || inputs > op->max_inputs)
    return vbl_fail(err, VBL_EINVAL, "expected %d to %d tensors, got %d", op->min_inputs, op->max_inputs, inputs);
  for (int i = 0; i < op->min_inputs; i++)
    if (in[i] == NULL) return vbl_fail(err, VBL_EINVAL, "expected a tensor as input %d, got none", i + 1);
  return VBL_OK;
}

static vbl_status record(vbl_call *c, vbl_error *err) {
  struct vbl_node *node;
  VBL_TRY(vbl_node_new(c->op->name, c->in, c->inputs, c->outputs, &node, err));
  node->op = c->op;
  node->attrs = c->attrs;
  memcpy(node->saved, c->saved, sizeof node->saved);
  for (int i = 0; i < VBL_MAX_SAVED; i++)
    if (c->saved[i] != NULL) node->version[i] = c->saved[i]->storage->version;
  memset(c->saved, 0, sizeof c->saved);
  for (int i = 0; i < c->outputs; i++) vbl_node_attach(node, c->out[i], i);
  vbl_node_release(node);  // the outputs hold it
  return VBL_OK;
}

static vbl_status run_forward(vbl_call *c, vbl_error *err) {
  VBL_TRY(vbl_interrupt_check(err));
  VBL_TRY(check_inputs(c->op, c->in, c->inputs, err));
  vbl_tape_reads(c->in, c->inputs);
  const uint64_t meeting = vbl_branch_meeting();
  vbl_status status = c->op->forward(c, err);
  vbl_branch_settle(meeting);
  VBL_TRY(status);
  VBL_TRY(vbl_kernels_failed(c->out[0], err));
  return c->recording ? record(c, err) : VBL_OK;
}

// While memory is counted, a tensor that a script made before (a constant, a parameter beside the model's) stands on the counting device too, with
// nothing in it. brought: those that were made for that, the caller's to release.
static vbl_status bring_to_plan(vbl_call *c, vbl_tensor **brought, vbl_error *err) {
  const vbl_backend *plan = vbl_plan_backend();
  bool any = false;
  for (int i = 0; plan != NULL && i < VBL_MAX_INPUTS; i++) any |= c->in[i] != NULL && c->in[i]->storage->backend == plan;
  for (int i = 0; any && i < VBL_MAX_INPUTS; i++) {
    const vbl_tensor *t = c->in[i];
    if (t == NULL || t->storage->backend == plan) continue;
    VBL_TRY(vbl_tensor_new(plan, t->dtype, t->ndim, t->shape, &brought[i], err));
    brought[i]->requires_grad = vbl_wants_grad(t);
    c->in[i] = brought[i];
  }
  return VBL_OK;
}

vbl_status vbl_apply(const vbl_op *op, vbl_tensor *const *in, int inputs, const vbl_attrs *attrs, vbl_tensor **out,
                     vbl_error *err) {
  vbl_call c = {.op = op, .inputs = inputs, .outputs = op->outputs};
  if (attrs != NULL) c.attrs = *attrs;
  c.attrs.products = autocast;
  for (int i = 0; i < inputs && i < VBL_MAX_INPUTS; i++) {
    c.in[i] = in[i];
    c.needs_grad[i] = recording && op->backward != NULL && vbl_wants_grad(in[i]);
    c.recording |= c.needs_grad[i];
  }
  vbl_span span;
  vbl_span_begin(&span, op->name, VBL_PHASE_FORWARD);
  const vbl_memory_user before = vbl_memory_use((vbl_memory_user){op->name, false});
  vbl_tensor *brought[VBL_MAX_INPUTS] = {NULL};
  vbl_status status = bring_to_plan(&c, brought, err);
  if (status == VBL_OK) status = run_forward(&c, err);
  vbl_memory_use(before);
  vbl_call_end(&c);
  for (int i = 0; i < VBL_MAX_INPUTS; i++) vbl_tensor_release(brought[i]);
  for (int i = 0; i < VBL_MAX_SAVED; i++) vbl_tensor_release(c.saved[i]);
  vbl_span_end(&span, 0);
  if (status == VBL_OK) {
    memcpy(out, c.out, (size_t)op->outputs * sizeof *out);
    return VBL_OK;
  }
  for (int i = 0; i < op->outputs; i++) vbl_tensor_release(c.out[i]);
  return status == VBL_EINTERRUPT ? status : vbl_context(err, "%s", op->name);
}

vbl_status vbl_record_custom(const char *name, vbl_tensor *const *ins, int inputs, vbl_tensor *const *outs, int outputs,
                             vbl_custom custom, vbl_error *err) {
  bool wanted = false;
  for (int i = 0; i < inputs; i++) wanted |= recording && vbl_wants_grad(ins[i]);
  struct vbl_node *node = NULL;
  vbl_status status = wanted ? vbl_node_new(name, ins, inputs, outputs, &node, err) : VBL_OK;
  if (node == NULL) {
    if (custom.destroy != NULL) custom.destroy(custom.context);
    return status;
  }
  node->custom = custom;
  for (int i = 0; i < outputs; i++)
    if (outs[i] != NULL) vbl_node_attach(node, outs[i], i);
  vbl_node_release(node);
  return VBL_OK;
}
