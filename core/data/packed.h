// Packed data sets: the decoded images, token ids, texts, labels and splits of any source in memory-mapped shards, so that nothing is
// decoded or tokenised afterwards. docs/packing.md has the format byte by byte.
//
// Shard k holds the samples k n .. k n + n - 1 of the source under their numbers (n: samples a shard, the last one fewer), the ones whose
// image could not be decoded too, with the reason in place of the image: order, draws and replacements are those of the source, bit for
// bit. What a shard holds depends on the source and the options alone, never on threads or on where a killed run stopped.
// defines: vbl_pack_section, vbl_pack_header, vbl_pack_write, vbl_packer and its functions, vbl_shard, vbl_packed and their functions
#pragma once
#include <stdatomic.h>

#include "core/data/source.h"

#define VBL_PACK_MAGIC "VBLPACK\n"
enum { VBL_PACK_VERSION = 1, VBL_PACK_MARK = 0x0A0B0C0D, VBL_PACK_IMAGES_AT = 4096, VBL_PACK_IMAGE_MAX = 1 << 14 };

// n samples, k texts. Offsets (..._AT, ..._FIRST) begin at 0, never fall, and end with the size of what they point into.
typedef enum vbl_pack_section {
  VBL_PACK_IMAGES,        // u8 (n, 3, S, S); zeros where the image is bad
  VBL_PACK_IMAGE_CRC,     // u32 (n) crc32 of each image
  VBL_PACK_IMAGE_HASH,    // u64 (n) FNV-1a of the bytes that the source stores (of the pixels where it stores none)
  VBL_PACK_SPLIT,         // i32 (n) number of the split, -1: none
  VBL_PACK_TEXT_FIRST,    // u64 (n + 1) texts of each sample
  VBL_PACK_TOKEN_FIRST,   // u64 (k + 1)
  VBL_PACK_TOKENS,        // i32, [CLS] and [SEP] included
  VBL_PACK_TEXT_KEY,      // u64 (k) equal for texts that say the same
  VBL_PACK_TEXT_AT,       // u64 (k + 1)
  VBL_PACK_TEXT,          // UTF-8
  VBL_PACK_ID_AT,         // u64 (n + 1)
  VBL_PACK_ID,            // UTF-8
  VBL_PACK_LABEL_KNOWN,   // u8 (n)
  VBL_PACK_LABEL_FIRST,   // u64 (n + 1)
  VBL_PACK_LABEL_INDEX,   // i32
  VBL_PACK_LABEL_WEIGHT,  // f32, as many
  VBL_PACK_WHY_AT,        // u64 (n + 1)
  VBL_PACK_WHY,           // UTF-8: why the image is bad; nothing where it is good
  VBL_PACK_SECTIONS
} vbl_pack_section;

// The first bytes of a shard, in the byte order of the machine that wrote it (`mark` tells).
typedef struct vbl_pack_header {
  char magic[8];
  uint32_t version, mark;
  uint64_t identity;  // of source and options: equal in all shards of a set
  uint32_t number, samples;
  uint64_t first;  // number of its first sample
  uint32_t image_size, texts;
  uint64_t bytes;       // of the file
  uint32_t tables_crc;  // crc32 of everything after the images
  uint32_t header_crc;  // crc32 of this header with 0 in this place
  struct {
    uint64_t offset, bytes;
  } section[VBL_PACK_SECTIONS];
} vbl_pack_header;

// --- writing ---

typedef struct vbl_pack {
  const vbl_source *source;
  const char *folder;     // exists
  uint64_t identity;      // of source and options
  int32_t shard_samples;  // n
  int64_t allowed_bad;    // more bad images are an error
  const int32_t *split;   // [samples] number of the split, or -1
} vbl_pack;

#define VBL_PACK_NAME "shard-%05d.vbl"

// Writes shard `number` whole or not at all. *done counts the samples as they are made, *bad the bad images; *stop ends it with
// VBL_EINTERRUPT.
vbl_status vbl_pack_write(const vbl_pack *p, int32_t number, atomic_llong *done, atomic_llong *bad, const atomic_bool *stop,
                          vbl_error *err);

// Threads that write the missing shards. Shards that are there and whole (checked to the last byte) are kept; a shard of another set is
// an error.
typedef struct vbl_packer vbl_packer;
vbl_status vbl_packer_new(const vbl_source *source, const char *folder, uint64_t identity, int32_t shard_samples,
                          int64_t allowed_bad, int threads, vbl_packer **out, vbl_error *err);
// Waits for the end, at most that long. *finished; *done: samples so far, *kept: those of shards that were there. An error of any thread.
vbl_status vbl_packer_wait(vbl_packer *p, double seconds, bool *finished, int64_t *done, int64_t *kept, vbl_error *err);
void vbl_packer_free(vbl_packer *p);  // stops first; a shard that is not whole leaves nothing behind

// --- reading ---

// One shard, mapped. The header has been checked against the file and the tables against each other.
typedef struct vbl_shard {
  const uint8_t *map;
  size_t bytes;
  const vbl_pack_header *header;
} vbl_shard;

// Errors say what is wrong: not a shard, truncated, another version, the other byte order, damaged.
vbl_status vbl_shard_open(const char *path, vbl_shard *out, vbl_error *err);
void vbl_shard_close(vbl_shard *s);
// Compares every image with its checksum. *bad: how many do not fit.
int32_t vbl_shard_verify(const vbl_shard *s);
const void *vbl_shard_section(const vbl_shard *s, vbl_pack_section which);
// Entry i of a table and the one after it, from an _AT or _FIRST section.
uint64_t vbl_shard_offset(const vbl_shard *s, vbl_pack_section which, uint64_t i);

// What the manifest says.
typedef struct vbl_packed_options {
  const char *folder;
  uint64_t identity;
  int32_t samples, shard_samples, max_tokens;
  int image_size;
  vbl_label_kind label_kind;
  int32_t classes, splits;
  const char *const *class_name, *const *split_name;
  const char *hash, *notes;  // of the source
  int64_t bad_records, absent, bad_images, truncated;
} vbl_packed_options;

typedef struct vbl_packed {
  vbl_source source;
  int64_t texts, undecodable;  // undecodable: images that failed when it was packed
  char *hash, *notes;          // of the source, as its manifest says
  int64_t bad_records, absent, bad_images, truncated;

  // Private from here.
  vbl_vocabulary *vocabulary;  // vocab.txt of the folder
  vbl_shard *shard;
  int32_t shards, shard_samples;
  atomic_uchar *checked;  // [samples] 1: the image fits its checksum
  vbl_split *split;
  int32_t *split_samples;
  char **class_name, **split_name;
  char *folder;
} vbl_packed;

vbl_status vbl_packed_open(const vbl_packed_options *options, vbl_packed **out, vbl_error *err);
void vbl_packed_free(vbl_packed *p);  // NULL is allowed
// Why the sample's image could not be decoded when it was packed; *bytes = 0: it was.
const char *vbl_packed_why(const vbl_packed *p, int32_t sample, size_t *bytes);
