// Opens libcurl.
// defines: vbl_curl_open
#ifdef VBL_CURL
#include "core/fetch/curl.h"

#include <dlfcn.h>
#include <string.h>

// Missing functions are counted.
static void *find(void *library, const char *name, int *missing) {
  void *at = dlsym(library, name);
  *missing += at == NULL;
  return at;
}

vbl_status vbl_curl_open(const vbl_curl **out, vbl_error *err) {
  static vbl_curl c;
  static bool open;
  *out = &c;
  if (open) return VBL_OK;
  void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return vbl_fail(err, VBL_EDEVICE, "downloads need libcurl: apt-get install libcurl4 (%s)", dlerror());
  const char *const names[] = {"curl_global_init",  "curl_easy_init",        "curl_easy_setopt",         "curl_easy_getinfo",
                               "curl_easy_reset",   "curl_easy_cleanup",     "curl_easy_strerror",       "curl_multi_init",
                               "curl_multi_setopt", "curl_multi_add_handle", "curl_multi_remove_handle", "curl_multi_perform",
                               "curl_multi_poll",   "curl_multi_wakeup",     "curl_multi_info_read",     "curl_multi_cleanup"};
  void *functions[sizeof names / sizeof *names];
  int missing = 0;
  _Static_assert(sizeof functions == sizeof c, "one name for each function, in the order of vbl_curl");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) functions[i] = find(library, names[i], &missing);
  if (missing > 0) return vbl_fail(err, VBL_EDEVICE, "libcurl lacks %d functions; version 7.68 or newer is needed", missing);
  memcpy(&c, functions, sizeof c);
  if (c.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return vbl_fail(err, VBL_EDEVICE, "libcurl could not be initialised");
  open = true;
  return VBL_OK;
}
#endif
