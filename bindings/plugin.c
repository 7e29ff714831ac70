// What plug-ins call (include/vbl.h): their measures become rows of vbl.measure, their ops rows of vbl.nn.functional. Both live as long as
// the program, as the library does that holds their definitions.
// defines: vbl_register_measure, vbl_register_op, vbl_lua_plugin_row, vbl_lua_plugin_defaults, vbl_lua_measure_plugins
#include "core/plugin/plugin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/functional.h"
#include "bindings/measure.h"

typedef struct measure {
  vbl_measure_row row;  // first: a row is its measure
  vbl_plugin_measure plugin;
  vbl_measure_option options[VBL_PLUGIN_OPTIONS + 1];
  struct measure *next;
} measure;

typedef struct operation {
  vbl_plugin_op plugin;
  vbl_functional row;
  struct operation *next;
} operation;

static measure *measures;
static operation *operations;  // held for whoever looks for leaks; the functions hold their rows

static void *zeros(lua_State *L, size_t size) {
  void *p = calloc(1, size);
  if (p == NULL) vbl_lua_error(L, "plug-in: out of memory");
  return p;
}

// Pushes the module's table, which must not have the name yet.
static void push_module(lua_State *L, const char *module, const char *name) {
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  lua_call(L, 1, 1);
  lua_pushstring(L, name);
  if (lua_rawget(L, -2) != LUA_TNIL)
    vbl_lua_error(L, "plug-in: %s.%s exists already: the plug-in's needs another name", module, name);
  lua_pop(L, 1);
}

// "NAME(a, b, [{option = default}]) -> result", kept.
static const char *signature(lua_State *L, const char *name, const char *const *inputs, const vbl_option_def *options,
                             const char *result) {
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  luaL_addstring(&text, name);
  for (int i = 0; inputs[i] != NULL; i++) {
    luaL_addstring(&text, i == 0 ? "(" : ", ");
    luaL_addstring(&text, inputs[i]);
  }
  for (int i = 0; options != NULL && options[i].name != NULL; i++) {
    lua_pushfstring(L, "%s%s = %f", i == 0 ? ", [{" : ", ", options[i].name, (LUAI_UACNUMBER)options[i].fallback);
    luaL_addvalue(&text);
  }
  luaL_addstring(&text, options != NULL && options[0].name != NULL ? "}]) -> " : ") -> ");
  luaL_addstring(&text, result);
  luaL_pushresult(&text);
  char *kept = strdup(lua_tostring(L, -1));
  if (kept == NULL) vbl_lua_error(L, "plug-in: out of memory");
  lua_pop(L, 1);
  return kept;
}

static measure *new_measure(lua_State *L, const vbl_plugin_measure *plugin) {
  static const char *const inputs[] = {"X", "Y", NULL};
  const vbl_measure_def *def = plugin->def;
  const char *said = signature(L, def->name, inputs, def->options, "number, record");
  measure *m = zeros(L, sizeof *m);
  m->plugin = *plugin;
  for (int i = 0; def->options != NULL && def->options[i].name != NULL; i++)
    m->options[i] = (vbl_measure_option){def->options[i].name, OPTION_NUMBER,
                                         offsetof(vbl_measure_options, plugin_options) + sizeof(double) * (size_t)i, NULL};
  m->row = (vbl_measure_row){def->name, vbl_plugin_compute, 2, m->options, said, def->help};
  m->next = measures;
  return measures = m;
}

void vbl_register_measure(lua_State *L, const vbl_measure_def *def) {
  vbl_plugin_measure plugin;
  VBL_LUA_TRY(L, vbl_plugin_measure_make(def, &plugin, &err));
  push_module(L, "vbl.measure", def->name);
  const measure *m = new_measure(L, &plugin);
  vbl_lua_push_measure(L, &m->row);
  lua_setfield(L, -2, def->name);
  vbl_lua_document(L, "measure", def->name, m->row.signature, def->help);
  lua_pop(L, 1);
}

void vbl_register_op(lua_State *L, const vbl_op_def *def) {
  vbl_plugin_op plugin;
  VBL_LUA_TRY(L, vbl_plugin_op_make(def, &plugin, &err));
  push_module(L, "vbl.nn.functional", def->name);
  const char *said = signature(L, def->name, def->inputs, def->options, "y");
  operation *o = zeros(L, sizeof *o);
  o->plugin = plugin;
  o->row = (vbl_functional){.name = def->name, .op = &o->plugin.op, .signature = said, .help = def->help};
  for (int i = 0; i < plugin.inputs; i++) o->row.inputs[i] = (vbl_functional_input){def->inputs[i], VBL_IN_TENSOR};
  for (int i = 0; def->options != NULL && def->options[i].name != NULL; i++)
    o->row.attrs[i] = (vbl_functional_attr){def->options[i].name, VBL_AT_NUMBER, i, def->options[i].fallback};
  o->next = operations;
  operations = o;
  vbl_lua_set_op(L, &o->row);
  lua_pop(L, 1);
}

const vbl_measure_row *vbl_lua_plugin_row(const char *name) {
  for (const measure *m = measures; m != NULL; m = m->next)
    if (strcmp(m->row.name, name) == 0) return &m->row;
  return NULL;
}

vbl_measure_options vbl_lua_plugin_defaults(const vbl_measure_row *row) {
  const measure *m = (const measure *)row;
  vbl_measure_options o = vbl_measure_defaults;
  o.plugin = &m->plugin;
  for (int i = 0; m->options[i].key != NULL; i++) o.plugin_options[i] = m->plugin.def->options[i].fallback;
  return o;
}

static void set_flag(lua_State *L, const char *name, unsigned on) { vbl_lua_set_bool(L, name, on != 0); }

static void set_number(lua_State *L, const char *name, double value) {
  if (isnan(value)) return;
  vbl_lua_set_number(L, name, value);
}

static int l_plugins(lua_State *L) {
  lua_newtable(L);
  for (const measure *m = measures; m != NULL; m = m->next) {
    const vbl_measure_def *def = m->plugin.def;
    lua_createtable(L, 0, 5);
    set_number(L, "best", def->best);
    set_number(L, "known", def->known);
    set_flag(L, "distance", def->flags & VBL_MEASURE_DISTANCE);
    set_flag(L, "space", def->flags & VBL_MEASURE_ONE_SPACE);
    set_flag(L, "rotates", def->flags & VBL_MEASURE_ROTATES);
    lua_setfield(L, -2, def->name);
  }
  return 1;
}

static const vbl_fn rows[] = {{"plugins", l_plugins, "plugins() -> {name = {best=, known=, distance=, space=, rotates=}}",
                               "The measures that plug-ins registered, with what their definitions say of them (vbl.h)."},
                              {NULL, NULL, NULL, NULL}};

void vbl_lua_measure_plugins(lua_State *L) { vbl_lua_register(L, "measure", rows); }
