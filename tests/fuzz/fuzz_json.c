// JSON: the input as one text, and each of its lines as one (JSONL). What is read is walked, and its strings are written again.
#include "core/store/json.h"
#include "tests/fuzz/fuzz.h"

static void walk(const vbl_json *v) {
  if (v->type == VBL_JSON_STRING) {
    size_t n = vbl_json_quoted_size(v->text, v->size);
    if (n == 0) abort();  // what was read is UTF-8
    char *quoted = malloc(n);
    if (quoted == NULL || vbl_json_quote(v->text, v->size, quoted) != quoted + n) abort();
    free(quoted);
  }
  for (const vbl_json *c = v->child; c != NULL; c = c->next) walk(c);
}

static void parse(const char *text, size_t n) {
  vbl_json *root;
  vbl_error err;
  if (vbl_json_parse(text, n, "fuzz", &root, &err) == VBL_OK) walk(root);
  vbl_json_free(root);
}

int FUZZ_ENTRY(const uint8_t *data, size_t size) {
  const char *text = (const char *)data, *end = text + size;
  if (size == 0) return 0;
  parse(text, size);
  while (text < end) {
    const char *stop = memchr(text, '\n', (size_t)(end - text));
    if (stop == NULL) stop = end;
    parse(text, (size_t)(stop - text));
    text = stop + 1;
  }
  return 0;
}
