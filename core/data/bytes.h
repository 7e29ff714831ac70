// A growing block of bytes, whole files read into one, and the hash of bytes that keys and data hashes use.
// defines: vbl_bytes, vbl_bytes_{add,add_text,read,free}, vbl_hash_bytes, VBL_HASH_START
#pragma once
#include "core/base/status.h"

typedef struct vbl_bytes {
  uint8_t *data;
  size_t size, room;
} vbl_bytes;

vbl_status vbl_bytes_add(vbl_bytes *b, const void *data, size_t n, vbl_error *err);  // appends; VBL_ENOMEM
vbl_status vbl_bytes_add_text(vbl_bytes *b, const char *text, vbl_error *err);       // the same, without its NUL
void vbl_bytes_free(vbl_bytes *b);                                                   // leaves it empty

// The whole of a regular file. VBL_EIO names the file and the reason: not there, a folder, more than max_bytes, a failing read.
vbl_status vbl_bytes_read(const char *path, size_t max_bytes, vbl_bytes *out, vbl_error *err);

// FNV-1a of 64 bits (Fowler, Noll, Vo), continued from `hash`; begin with VBL_HASH_START. With fewer than 2^24 different
// texts two of them share a value with a chance below 2^-16.
#define VBL_HASH_START 0xCBF29CE484222325u
uint64_t vbl_hash_bytes(uint64_t hash, const void *data, size_t n);
