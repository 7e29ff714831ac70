// One transfer: its limits, what is taken of it while it comes, and what came of it.
// defines: vbl_fetch_transfer_{start,verdict,release}
#ifdef VBL_CURL
#include <stdlib.h>
#include <string.h>

#include "core/fetch/work.h"

static void refuse(vbl_fetch_transfer *t, const char *status, const char *why) {
  t->refused_status = status;
  t->refused = why;
}

// The first bytes tell an image from a page; more than the limit ends the transfer.
static size_t take(char *data, size_t size, size_t n, void *context) {
  vbl_fetch_transfer *t = context;
  vbl_fetch *f = t->f;
  n *= size;
  long http = 0;
  f->curl->easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &http);
  if (http < 200 || http > 299) return n;  // an error's page or a redirect's: not kept
  f->bytes += (int64_t)n;
  if (t->body.size + n > (size_t)f->o.max_bytes) return refuse(t, "too_large", "more bytes than max_bytes"), 0;
  if (vbl_bytes_add(&t->body, data, n, NULL) != VBL_OK) return refuse(t, "memory", "out of memory"), 0;
  static const uint8_t jpeg[] = {0xFF, 0xD8, 0xFF}, png[] = {0x89, 'P', 'N', 'G'};
  if (t->body.size >= 4 && memcmp(t->body.data, jpeg, sizeof jpeg) != 0 && memcmp(t->body.data, png, sizeof png) != 0)
    return refuse(t, "not_an_image", t->body.data[0] == '<' ? "neither JPEG nor PNG (a web page?)" : "neither JPEG nor PNG"), 0;
  return n;
}

static int not_so_large(void *context, curl_off_t total, curl_off_t now, curl_off_t up, curl_off_t upped) {
  vbl_fetch_transfer *t = context;
  (void)up, (void)upped;
  if (total <= t->f->o.max_bytes && now <= t->f->o.max_bytes) return 0;
  return refuse(t, "too_large", "more bytes than max_bytes"), 1;
}

static void set_options(vbl_fetch *f, vbl_fetch_transfer *t, const char *url) {
  const vbl_curl *c = f->curl;
  const vbl_fetch_options *o = &f->o;
  CURL *e = t->easy;
  c->easy_setopt(e, CURLOPT_URL, url);
  c->easy_setopt(e, CURLOPT_PRIVATE, t);
  c->easy_setopt(e, CURLOPT_WRITEFUNCTION, take);
  c->easy_setopt(e, CURLOPT_WRITEDATA, t);
  c->easy_setopt(e, CURLOPT_XFERINFOFUNCTION, not_so_large);
  c->easy_setopt(e, CURLOPT_XFERINFODATA, t);
  c->easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
  c->easy_setopt(e, CURLOPT_ERRORBUFFER, t->message);
  c->easy_setopt(e, CURLOPT_USERAGENT, "vbl/" VBL_VERSION);
  c->easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
  c->easy_setopt(e, CURLOPT_MAXREDIRS, (long)o->redirects);
#if LIBCURL_VERSION_NUM >= 0x075500
  c->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  c->easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
  c->easy_setopt(e, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
  c->easy_setopt(e, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
  c->easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(o->connect * 1000));
  c->easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(o->total * 1000));
  c->easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1000L);
  c->easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)(o->stall < 1 ? 1 : o->stall));
  c->easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  if (f->ca != NULL) c->easy_setopt(e, CURLOPT_CAINFO, f->ca);
}

vbl_status vbl_fetch_transfer_start(vbl_fetch *f, vbl_fetch_transfer *t, vbl_fetch_shard *s, int32_t row, vbl_error *err) {
  vbl_fetch_row parts;
  vbl_fetch_table_row(&f->table, f->o.columns, s->first + row, &parts);
  char *url = strndup(parts.url, parts.url_bytes);
  t->easy = f->curl->easy_init();
  if (url == NULL || t->easy == NULL) {
    free(url);
    return vbl_fail(err, VBL_ENOMEM, "out of memory for a transfer");
  }
  t->f = f, t->shard = s, t->row = row;
  t->refused = t->refused_status = NULL;
  t->message[0] = 0;
  t->body.size = 0;
  set_options(f, t, url);  // libcurl copies what it is given
  free(url);
  return f->curl->multi_add_handle(f->multi, t->easy) == CURLM_OK ? VBL_OK
                                                                  : vbl_fail(err, VBL_EDEVICE, "libcurl did not take a transfer");
}

static char *http_verdict(vbl_fetch_transfer *t, bool *again) {
  char detail[32];
  if (t->http >= 200 && t->http <= 299) return NULL;
  *again = t->http == 429 || t->http == 408 || t->http >= 500;
  snprintf(detail, sizeof detail, "HTTP %ld", t->http);
  return vbl_fetch_failure("http_error", detail, t->http);
}

// Details hold no time and no count of bytes: they are the same in each run.
static char *failure(vbl_fetch *f, vbl_fetch_transfer *t, CURLcode code, bool *again) {
  *again = true;
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return strstr(t->message, "too slow") != NULL ? vbl_fetch_failure("stalled", "less than 1,000 bytes a second", t->http)
                                                    : vbl_fetch_failure("timeout", "", t->http);
    case CURLE_COULDNT_RESOLVE_HOST:
      return vbl_fetch_failure("no_such_host", "", 0);
    case CURLE_COULDNT_CONNECT:
      return vbl_fetch_failure("no_connection", "", 0);
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
      return vbl_fetch_failure("broken_off", f->curl->easy_strerror(code), t->http);
    default:
      break;
  }
  *again = false;
  switch (code) {
    case CURLE_TOO_MANY_REDIRECTS:
      return vbl_fetch_failure("redirects", "more than redirects allows", t->http);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
      return vbl_fetch_failure("tls", f->curl->easy_strerror(code), t->http);
    default:
      return vbl_fetch_failure("error", f->curl->easy_strerror(code), t->http);
  }
}

char *vbl_fetch_transfer_verdict(vbl_fetch *f, vbl_fetch_transfer *t, CURLcode code, bool *again, double *wait) {
  curl_off_t after = 0;
  *again = false;
  *wait = 0;
  f->curl->easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->http);
  f->curl->easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &after);
  if (t->refused != NULL) return vbl_fetch_failure(t->refused_status, t->refused, t->http);
  char *result = code == CURLE_OK ? http_verdict(t, again) : failure(f, t, code, again);
  if (result != NULL && *again && after > 0) *wait = (double)after;
  return result;
}

void vbl_fetch_transfer_release(vbl_fetch *f, vbl_fetch_transfer *t) {
  if (t->easy == NULL) return;
  f->curl->multi_remove_handle(f->multi, t->easy);
  f->curl->easy_cleanup(t->easy);
  t->easy = NULL;
}
#endif
