// The Lua modules inside the program; the table is written by cmake/embed.cmake at build time and ends with a NULL name.
#pragma once
#include <stddef.h>

typedef struct vbl_embedded_module {
  const char *name;  // "vbl.nn"
  const char *text;
  size_t size;
} vbl_embedded_module;

extern const vbl_embedded_module vbl_embedded[];
