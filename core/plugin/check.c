// What measures and ops of plug-ins have in common: name, options, failure.
// defines: vbl_plugin_check_name, vbl_plugin_check_list, vbl_plugin_check_options, vbl_plugin_failed
#include <string.h>

#include "core/plugin/plugin.h"

static bool lua_name(const char *name) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", digits[] = "0123456789";
  size_t n = strspn(name, letters);
  while (n > 0 && name[n] != '\0' && strchr(digits, name[n]) != NULL) n += 1 + strspn(name + n + 1, letters);
  return n > 0 && name[n] == '\0';
}

vbl_status vbl_plugin_check_name(int abi, const char *name, const char *help, vbl_error *err) {
  if (abi != VBL_ABI)
    return vbl_fail(err, VBL_EINVAL,
                    "plug-in: made for version %d of vbl.h, and this vbl has version %d: build it again with this vbl's vbl.h", abi,
                    VBL_ABI);
  if (name == NULL) return vbl_fail(err, VBL_EINVAL, "plug-in: the definition has no name");
  if (!lua_name(name)) return vbl_fail(err, VBL_EINVAL, "plug-in: expected letters, digits and _ as a name, got '%s'", name);
  if (help == NULL) return vbl_fail(err, VBL_EINVAL, "plug-in %s: the definition has no help", name);
  return VBL_OK;
}

vbl_status vbl_plugin_check_list(const char *name, const vbl_option_def *options, vbl_error *err) {
  for (int i = 0; options != NULL && options[i].name != NULL; i++) {
    const vbl_option_def *o = &options[i];
    if (i == VBL_PLUGIN_OPTIONS) return vbl_fail(err, VBL_EINVAL, "plug-in %s: at most %d options", name, VBL_PLUGIN_OPTIONS);
    if (!lua_name(o->name))
      return vbl_fail(err, VBL_EINVAL, "plug-in %s: expected letters, digits and _ as an option's name, got '%s'", name, o->name);
    if (!(o->low <= o->fallback && o->fallback <= o->high))
      return vbl_fail(err, VBL_EINVAL, "plug-in %s: option '%s': its default %g is outside its range, %g to %g", name, o->name,
                      o->fallback, o->low, o->high);
  }
  return VBL_OK;
}

vbl_status vbl_plugin_check_options(const char *name, const vbl_option_def *options, const double *values, vbl_error *err) {
  for (int i = 0; options != NULL && options[i].name != NULL; i++)
    if (!(values[i] >= options[i].low && values[i] <= options[i].high))
      return vbl_fail(err, VBL_EINVAL, "%s: option '%s': expected %g to %g, got %g", name, options[i].name, options[i].low,
                      options[i].high, values[i]);
  return VBL_OK;
}

vbl_status vbl_plugin_failed(char error[VBL_PLUGIN_MESSAGE], vbl_error *err) {
  error[VBL_PLUGIN_MESSAGE - 1] = '\0';
  return vbl_fail(err, VBL_EINVAL, "%s", error[0] != '\0' ? error : "the plug-in failed and left no message");
}
