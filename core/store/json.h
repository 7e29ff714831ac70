// JSON (RFC 8259): a reader into a tree and the two pieces of a writer, numbers and strings. The binding walks Lua tables.
//
// Numbers. A literal without '.', 'e' that fits int64 is an integer, exact; every other is the nearest double. Doubles are
// written with the fewest of 15, 16 or 17 digits that read back to the same value, and keep a ".0" so that they stay doubles.
// NaN and infinities have no JSON form: the reader refuses them, and so does the writer (vbl_json_number returns 0).
// Strings are valid UTF-8 both ways. The process keeps LC_NUMERIC at "C".
// defines: vbl_json, vbl_json_parse, vbl_json_free, vbl_json_get, vbl_json_number, vbl_json_integer, vbl_json_quoted_size,
// vbl_json_quote
#pragma once
#include "core/base/status.h"

enum { VBL_JSON_DEPTH = 128 };

typedef enum vbl_json_type {
  VBL_JSON_NULL,
  VBL_JSON_FALSE,
  VBL_JSON_TRUE,
  VBL_JSON_INTEGER,
  VBL_JSON_DOUBLE,
  VBL_JSON_STRING,
  VBL_JSON_ARRAY,
  VBL_JSON_OBJECT
} vbl_json_type;

typedef struct vbl_json {
  vbl_json_type type;
  uint32_t line;     // where it starts, from 1
  int64_t integer;   // INTEGER
  double number;     // INTEGER and DOUBLE
  const char *text;  // STRING: decoded, NUL after its `size` bytes (a NUL may be inside)
  size_t size;       // STRING: bytes; ARRAY, OBJECT: number of children
  const char *key;   // of a member of an object, decoded; keys with a NUL inside are refused
  struct vbl_json *child, *next;
} vbl_json;

// `where` names the source in errors ("file:line:column: ..."). Duplicate keys are kept in order; readers decide. The tree is
// one arena, ended with vbl_json_free(*root). Depth beyond VBL_JSON_DEPTH, anything after the value, bad UTF-8: VBL_EIO.
vbl_status vbl_json_parse(const char *text, size_t n, const char *where, vbl_json **root, vbl_error *err);
void vbl_json_free(vbl_json *root);  // NULL is allowed; only a root

// The first member of that name, or NULL (also when `object` is NULL or no object).
const vbl_json *vbl_json_get(const vbl_json *object, const char *key);

enum { VBL_JSON_NUMBER_TEXT = 32 };
int vbl_json_number(double x, char buf[VBL_JSON_NUMBER_TEXT]);  // its length; 0 when x is NaN or infinite
int vbl_json_integer(int64_t x, char buf[VBL_JSON_NUMBER_TEXT]);

// Bytes of the quoted form, or 0 when the text is not UTF-8. vbl_json_quote writes exactly those (no NUL) and returns the end.
size_t vbl_json_quoted_size(const char *text, size_t n);
char *vbl_json_quote(const char *text, size_t n, char *out);
