// vbl.count_memory: what a function would take of a device's memory, and what its kernels would do, counted without the device (kernels/plan.h).
// defines: vbl_plan_rows, vbl_lua_set_device_memory
#include "kernels/plan.h"

#include <string.h>

#include "bindings/tensor_make.h"

#define COUNTING_META "vbl.counting"

typedef struct counting {
  const vbl_backend *device;  // of new tensors, before
  size_t threshold;           // of the collector, before
} counting;

static int stop(lua_State *L) {
  const counting *before = lua_touserdata(L, 1);
  vbl_plan_end();
  vbl_lua_default_device(before->device);
  vbl_lua_get_state(L)->threshold = before->threshold;
  return 0;
}

// Counting ends when the C function that calls this does, whether it returns or raises. The collector begins as in a new process.
static void start(lua_State *L, bool gpu, size_t limit) {
  counting *before = lua_newuserdatauv(L, sizeof *before, 0);
  if (luaL_newmetatable(L, COUNTING_META)) {
    lua_pushcfunction(L, stop);
    lua_setfield(L, -2, "__close");
  }
  lua_setmetatable(L, -2);
  vbl_plan_start(gpu, limit);
  vbl_lua_state *state = vbl_lua_get_state(L);
  *before = (counting){vbl_lua_default_device(vbl_plan_backend()), state->threshold};
  state->threshold = vbl_lua_first_threshold;
  lua_toclose(L, -1);
}

void vbl_lua_set_device_memory(lua_State *L, const vbl_backend *device, const char *prefix) {
  static const char *const names[] = {"live", "peak", "held", "most_held", "limit"};
  vbl_device_memory m;
  device->memory(&m, false);
  const size_t bytes[] = {m.live, m.peak, m.held, m.most_held, m.limit};
  for (int i = 0; i < 5; i++) {
    const char *name = lua_pushfstring(L, "%s%s", prefix, names[i]);
    lua_pushinteger(L, (lua_Integer)bytes[i]);
    lua_setfield(L, -3, name);
    lua_pop(L, 1);
  }
}

// A row's sums over its calls.
static void push_work(lua_State *L, const vbl_work *w) {
  const double calls = (double)w->calls;
  lua_createtable(L, 0, 8);
  vbl_lua_set_string(L, "kernel", w->kernel);
  vbl_lua_set_string(L, "op", w->op == NULL ? "" : w->op);
  vbl_lua_set_bool(L, "backward", w->backward);
  vbl_lua_set_integer(L, "calls", w->calls);
  vbl_lua_set_integer(L, "launches", (lua_Integer)w->calls * w->launches);
  vbl_lua_set_number(L, "flops", calls * w->flops);
  vbl_lua_set_number(L, "read", calls * w->read);
  vbl_lua_set_number(L, "written", calls * w->written);
}

static void set_kernels(lua_State *L) {
  int count;
  const vbl_work *rows = vbl_plan_work(&count);
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    push_work(L, &rows[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "kernels");
}

static int count_memory(lua_State *L) {
  static const char *const known[] = {"device", "limit", NULL}, *const devices[] = {"cpu", "cuda", NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  vbl_lua_check_keys(L, 1, known);
  const bool gpu = vbl_lua_opt_choice(L, 1, "device", devices, 0) == 1;
  const int64_t limit = vbl_lua_opt_integer(L, 1, "limit", 0);
  luaL_argcheck(L, limit >= 0, 1, "limit: expected bytes, 0 for no limit");
  if (vbl_plan_backend() != NULL) vbl_lua_error(L, "count_memory: it counts already");
  const int arguments = lua_gettop(L) - 2;
  vbl_lua_collect(L);
  start(L, gpu, (size_t)limit);
  vbl_lua_open_scope(L);
  lua_pushvalue(L, 2);
  for (int i = 0; i < arguments; i++) lua_pushvalue(L, 3 + i);
  lua_call(L, arguments, 0);
  vbl_error err;
  if (vbl_plan_backend()->sync(NULL, &err) != VBL_OK) vbl_lua_raise(L, &err);
  lua_createtable(L, 0, 6);
  vbl_lua_set_device_memory(L, vbl_plan_backend(), "");
  if (gpu) set_kernels(L);
  return 1;
}

static int exchange(lua_State *L) {
  vbl_tensor *a = vbl_lua_check_tensor(L, 1), *b = vbl_lua_check_tensor(L, 2), was = *a;
  if (a->node != NULL || b->node != NULL || a->dtype != b->dtype || !vbl_tensor_same_shape(a, b))
    vbl_lua_error(L, "exchange: expected two leaves of one shape and dtype");
  a->storage = b->storage, a->offset = b->offset, a->grad = b->grad, a->grad_marks = b->grad_marks, a->has_grad = b->has_grad;
  memcpy(a->stride, b->stride, sizeof a->stride);
  b->storage = was.storage, b->offset = was.offset, b->grad = was.grad, b->grad_marks = was.grad_marks, b->has_grad = was.has_grad;
  memcpy(b->stride, was.stride, sizeof b->stride);
  return 0;
}

const vbl_fn vbl_plan_rows[] = {
    {"exchange", exchange, "exchange(a, b)",
     "Each of two leaves of one shape and dtype then has what the other had: memory, wherever it lies, and gradient. For planning: "
     "whoever holds a parameter has it on another device meanwhile."},
    {"count_memory", count_memory,
     "count_memory({device = \"cpu\"|\"cuda\", limit = bytes}, fn, ...) -> {peak, most_held, live, held, limit, kernels}",
     "Calls fn(...) with new tensors on a device that has no memory and computes nothing, and counts the bytes that a CPU's (the "
     "default) or a GPU's allocator would hand out (peak: the most at once) and keep (most_held: with free blocks that wait for "
     "the next "
     "of their size). limit: out of memory beyond it, as on a card of that size; 0: none. What is read from such a tensor is 0.\n"
     "kernels, of a GPU: what they would compute and move, rows {kernel, op, backward, calls, launches, flops, read, written}, one "
     "for "
     "all calls of a kernel that cost the same for one op (\"\": none). flops are those of products and attention; read and "
     "written are "
     "bytes of the device's memory, each operand once. A copy from or to the host (from_host, to_host) is a row without launches."},
    {NULL, NULL, NULL, NULL}};
