// libcurl, opened at the first download: linked, its twenty libraries would double the start of every vbl.
// defines: vbl_curl, vbl_curl_open
#pragma once
#include <curl/curl.h>

#include "core/base/status.h"

typedef struct vbl_curl {
  CURLcode (*global_init)(long);
  CURL *(*easy_init)(void);
  CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
  CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
  void (*easy_reset)(CURL *);
  void (*easy_cleanup)(CURL *);
  const char *(*easy_strerror)(CURLcode);
  CURLM *(*multi_init)(void);
  CURLMcode (*multi_setopt)(CURLM *, CURLMoption, ...);
  CURLMcode (*multi_add_handle)(CURLM *, CURL *);
  CURLMcode (*multi_remove_handle)(CURLM *, CURL *);
  CURLMcode (*multi_perform)(CURLM *, int *);
  CURLMcode (*multi_poll)(CURLM *, struct curl_waitfd *, unsigned, int, int *);
  CURLMcode (*multi_wakeup)(CURLM *);
  CURLMsg *(*multi_info_read)(CURLM *, int *);
  CURLMcode (*multi_cleanup)(CURLM *);
} vbl_curl;

// The functions, the same for all callers. VBL_EDEVICE: the library is not here or too old, and what to install. From one thread.
vbl_status vbl_curl_open(const vbl_curl **out, vbl_error *err);
