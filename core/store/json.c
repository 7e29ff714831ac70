#include "core/store/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Nodes and decoded strings live in chunks that only grow; the first chunk begins with the root's address.
typedef struct chunk {
  struct chunk *next;
  size_t used, room;
  _Alignas(16) char bytes[];
} chunk;

typedef struct root_node {
  vbl_json value;  // first: vbl_json_free gets its address
  chunk *chunks;
} root_node;

typedef struct parser {
  const char *p, *end, *where;
  chunk *chunks;
  int depth;
  uint32_t line;
  const char *line_start;
  vbl_error *err;
} parser;

static vbl_status fail_at(parser *s, const char *at, const char *what) {
  return vbl_fail(s->err, VBL_EIO, "%s:%u:%lld: %s", s->where, s->line, (long long)(at - s->line_start) + 1, what);
}

static void *take(parser *s, size_t n) {
  n = (n + 15) & ~(size_t)15;
  if (!s->chunks || s->chunks->room - s->chunks->used < n) {
    size_t usual = s->chunks ? 65536 : 4096, room = n > usual ? n : usual;
    chunk *c = malloc(sizeof *c + room);
    if (!c) return NULL;
    *c = (chunk){.next = s->chunks, .room = room};
    s->chunks = c;
  }
  void *p = s->chunks->bytes + s->chunks->used;
  s->chunks->used += n;
  return p;
}

static void free_chunks(chunk *c) {
  while (c) {
    chunk *next = c->next;
    free(c);
    c = next;
  }
}

static void skip_space(parser *s) {
  for (; s->p < s->end; s->p++) {
    if (*s->p == '\n') {
      s->line++;
      s->line_start = s->p + 1;
    } else if (*s->p != ' ' && *s->p != '\t' && *s->p != '\r') {
      return;
    }
  }
}

// Length of the valid UTF-8 sequence at p (shortest form, no surrogates, at most U+10FFFF), 0 when there is none.
static int utf8_length(const char *text, const char *end) {
  const unsigned char *p = (const unsigned char *)text;
  int n = *p < 0x80 ? 1 : *p >= 0xC2 && *p < 0xE0 ? 2 : *p >= 0xE0 && *p < 0xF0 ? 3 : *p >= 0xF0 && *p < 0xF5 ? 4 : 0;
  if (n > end - text) return 0;
  for (int i = 1; i < n; i++)
    if ((p[i] & 0xC0) != 0x80) return 0;
  if ((*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] >= 0xA0) || (*p == 0xF0 && p[1] < 0x90) || (*p == 0xF4 && p[1] >= 0x90))
    return 0;
  return n;
}

static char *put_utf8(uint32_t c, char *out) {
  if (c < 0x80) {
    *out++ = (char)c;
  } else if (c < 0x800) {
    *out++ = (char)(0xC0 | c >> 6);
    *out++ = (char)(0x80 | (c & 63));
  } else if (c < 0x10000) {
    *out++ = (char)(0xE0 | c >> 12);
    *out++ = (char)(0x80 | (c >> 6 & 63));
    *out++ = (char)(0x80 | (c & 63));
  } else {
    *out++ = (char)(0xF0 | c >> 18);
    *out++ = (char)(0x80 | (c >> 12 & 63));
    *out++ = (char)(0x80 | (c >> 6 & 63));
    *out++ = (char)(0x80 | (c & 63));
  }
  return out;
}

static int hex4(const char *p, const char *end) {
  int v = 0;
  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    char c = p[i];
    int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (d < 0) return -1;
    v = v * 16 + d;
  }
  return v;
}

// At the 4 digits after "\u"; a high surrogate needs its low one after it.
static vbl_status parse_unicode(parser *s, char **out) {
  int hi = hex4(s->p, s->end);
  uint32_t c = (uint32_t)hi;
  if (hi < 0) return fail_at(s, s->p, "expected 4 hexadecimal digits after \\u");
  s->p += 4;
  if (hi >= 0xD800 && hi < 0xE000) {
    int lo = s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u' ? hex4(s->p + 2, s->end) : -1;
    if (hi >= 0xDC00 || lo < 0xDC00 || lo >= 0xE000) return fail_at(s, s->p, "half of a surrogate pair");
    c = 0x10000 + ((uint32_t)(hi - 0xD800) << 10) + (uint32_t)(lo - 0xDC00);
    s->p += 6;
  }
  *out = put_utf8(c, *out);
  return VBL_OK;
}

static vbl_status parse_escape(parser *s, char **out) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  if (s->p == s->end) return fail_at(s, s->p, "the text ends inside a string");
  char c = *s->p++;
  if (c == 'u') return parse_unicode(s, out);
  const char *hit = c ? strchr(from, c) : NULL;
  if (!hit) return fail_at(s, s->p - 1, "unknown escape in a string");
  *(*out)++ = to[hit - from];
  return VBL_OK;
}

// At the opening quote. The decoded text is never longer than its source.
static vbl_status parse_string(parser *s, const char **text, size_t *size) {
  const char *q = ++s->p;
  while (q < s->end && *q != '"') q += *q == '\\' ? 2 : 1;
  if (q >= s->end) return fail_at(s, s->p - 1, "a string has no closing quote");
  char *out = take(s, (size_t)(q - s->p) + 1), *start = out;
  if (!out) return vbl_fail(s->err, VBL_ENOMEM, "%s: not enough memory", s->where);
  while (*s->p != '"') {
    if (*s->p == '\\') {
      s->p++;
      VBL_TRY(parse_escape(s, &out));
      continue;
    }
    if ((unsigned char)*s->p < 0x20) return fail_at(s, s->p, "control character in a string (write it as an escape)");
    int n = utf8_length(s->p, s->end);
    if (n == 0) return fail_at(s, s->p, "not UTF-8");
    for (; n > 0; n--) *out++ = *s->p++;
  }
  s->p++;
  *out = 0;
  *text = start;
  *size = (size_t)(out - start);
  return VBL_OK;
}

static bool digits(parser *s) {
  const char *from = s->p;
  while (s->p < s->end && *s->p >= '0' && *s->p <= '9') s->p++;
  return s->p > from;
}

static vbl_status parse_number(parser *s, vbl_json *v) {
  const char *from = s->p;
  bool whole = true;
  if (*s->p == '-') s->p++;
  bool zero = s->p < s->end && *s->p == '0';
  if (!digits(s) || (zero && s->p - from > 1 + (*from == '-'))) return fail_at(s, from, "not a JSON value");
  if (s->p < s->end && *s->p == '.') {
    whole = false;
    s->p++;
    if (!digits(s)) return fail_at(s, s->p, "expected a digit after '.'");
  }
  if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
    whole = false;
    s->p++;
    if (s->p < s->end && (*s->p == '+' || *s->p == '-')) s->p++;
    if (!digits(s)) return fail_at(s, s->p, "expected a digit in the exponent");
  }
  errno = 0;
  v->type = VBL_JSON_INTEGER;
  v->integer = strtoll(from, NULL, 10);
  if (!whole || errno == ERANGE) v->type = VBL_JSON_DOUBLE;
  v->number = strtod(from, NULL);
  return isinf(v->number) ? fail_at(s, from, "the number is too large for a double") : VBL_OK;
}

static vbl_status parse_value(parser *s, vbl_json *v);

// One element or member; *last is the end of the list of children so far.
static vbl_status parse_child(parser *s, vbl_json *v, vbl_json ***last) {
  const char *key = NULL;
  skip_space(s);
  if (v->type == VBL_JSON_OBJECT) {
    const char *at = s->p;
    size_t n = 0;
    if (s->p == s->end || *s->p != '"') return fail_at(s, s->p, "expected a key in quotes");
    key = "";
    VBL_TRY(parse_string(s, &key, &n));
    if (strlen(key) != n) return fail_at(s, at, "a key with a NUL inside");
    skip_space(s);
    if (s->p == s->end || *s->p != ':') return fail_at(s, s->p, "expected ':' after a key");
    s->p++;
  }
  vbl_json *child = take(s, sizeof *child);
  if (!child) return vbl_fail(s->err, VBL_ENOMEM, "%s: not enough memory", s->where);
  *child = (vbl_json){.key = key};
  **last = child;
  *last = &child->next;
  v->size++;
  return parse_value(s, child);
}

static vbl_status parse_children(parser *s, vbl_json *v, char close) {
  vbl_json **last = &v->child;
  if (++s->depth > VBL_JSON_DEPTH) return fail_at(s, s->p, "nested too deep");
  s->p++;
  skip_space(s);
  if (s->p < s->end && *s->p == close) {
    s->p++;
    s->depth--;
    return VBL_OK;
  }
  for (;;) {
    VBL_TRY(parse_child(s, v, &last));
    skip_space(s);
    if (s->p == s->end) return fail_at(s, s->p, close == ']' ? "the text ends inside an array" : "the text ends inside an object");
    char c = *s->p;
    if (c != ',' && c != close) return fail_at(s, s->p, close == ']' ? "expected ',' or ']'" : "expected ',' or '}'");
    s->p++;
    if (c == close) break;
  }
  s->depth--;
  return VBL_OK;
}

static bool word(parser *s, const char *w) {
  size_t n = strlen(w);
  if ((size_t)(s->end - s->p) < n || memcmp(s->p, w, n) != 0) return false;
  s->p += n;
  return true;
}

static vbl_status parse_value(parser *s, vbl_json *v) {
  skip_space(s);
  v->line = s->line;
  if (s->p == s->end) return fail_at(s, s->p, "the text ends where a value is expected");
  switch (*s->p) {
    case '{':
      v->type = VBL_JSON_OBJECT;
      return parse_children(s, v, '}');
    case '[':
      v->type = VBL_JSON_ARRAY;
      return parse_children(s, v, ']');
    case '"':
      v->type = VBL_JSON_STRING;
      return parse_string(s, &v->text, &v->size);
    case 't':
      v->type = VBL_JSON_TRUE;
      break;
    case 'f':
      v->type = VBL_JSON_FALSE;
      break;
    case 'n':
      v->type = VBL_JSON_NULL;
      break;
    default:
      return parse_number(s, v);
  }
  const char *name = v->type == VBL_JSON_TRUE ? "true" : v->type == VBL_JSON_FALSE ? "false" : "null";
  return word(s, name) ? VBL_OK : fail_at(s, s->p, "not a JSON value (NaN and Infinity are none)");
}

vbl_status vbl_json_parse(const char *text, size_t n, const char *where, vbl_json **root, vbl_error *err) {
  *root = NULL;
  char *copy = malloc(n + 1);  // strtod needs an end that it can see
  root_node *r = calloc(1, sizeof *r);
  if (!copy || !r) {
    free(copy);
    free(r);
    return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", where);
  }
  memcpy(copy, text, n);
  copy[n] = 0;
  parser s = {.p = copy, .end = copy + n, .where = where, .line = 1, .line_start = copy, .err = err};
  vbl_status status = parse_value(&s, &r->value);
  if (status == VBL_OK) {
    skip_space(&s);
    if (s.p < s.end) status = fail_at(&s, s.p, "more text after the value");
  }
  r->chunks = s.chunks;
  free(copy);
  if (status == VBL_OK)
    *root = &r->value;
  else
    vbl_json_free(&r->value);
  return status;
}

void vbl_json_free(vbl_json *root) {
  if (!root) return;
  free_chunks(((root_node *)root)->chunks);
  free(root);
}

const vbl_json *vbl_json_get(const vbl_json *object, const char *key) {
  if (!object || object->type != VBL_JSON_OBJECT) return NULL;
  for (const vbl_json *c = object->child; c; c = c->next)
    if (strcmp(c->key, key) == 0) return c;
  return NULL;
}

int vbl_json_number(double x, char buf[VBL_JSON_NUMBER_TEXT]) {
  if (!isfinite(x)) return 0;
  int n = 0;
  for (int precision = 15; precision <= 17; precision++) {
    n = snprintf(buf, VBL_JSON_NUMBER_TEXT, "%.*g", precision, x);
    if (strtod(buf, NULL) == x) break;
  }
  if (strspn(buf, "-0123456789") == (size_t)n) n += snprintf(buf + n, (size_t)(VBL_JSON_NUMBER_TEXT - n), ".0");
  return n;
}

int vbl_json_integer(int64_t x, char buf[VBL_JSON_NUMBER_TEXT]) {
  return snprintf(buf, VBL_JSON_NUMBER_TEXT, "%lld", (long long)x);
}

static const char *escape_of(char c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return NULL;
  }
}

size_t vbl_json_quoted_size(const char *text, size_t n) {
  size_t size = 2;
  for (const char *p = text, *end = text + n; p < end;) {
    int length = utf8_length(p, end);
    if (length == 0) return 0;
    size += escape_of(*p) ? 2 : (unsigned char)*p < 0x20 ? 6 : (size_t)length;
    p += length;
  }
  return size;
}

char *vbl_json_quote(const char *text, size_t n, char *out) {
  *out++ = '"';
  for (size_t i = 0; i < n; i++) {
    const char *e = escape_of(text[i]);
    if (e) {
      *out++ = e[0];
      *out++ = e[1];
    } else if ((unsigned char)text[i] < 0x20) {
      static const char hex[] = "0123456789abcdef";
      out[0] = '\\';
      out[1] = 'u';
      out[2] = out[3] = '0';
      out[4] = hex[(unsigned char)text[i] >> 4];
      out[5] = hex[text[i] & 15];
      out += 6;
    } else {
      *out++ = text[i];
    }
  }
  *out++ = '"';
  return out;
}
