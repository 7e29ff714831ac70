// The data set that every reader of files fills: records, each an image (a file, or a range of bytes within an archive) with one or
// more texts, an id, a split and perhaps a label. A reader adds them in any order; finishing checks the images, divides, counts or
// loads the vocabulary and tokenises.
// defines: vbl_records, vbl_records_{new,add,archive_of,skip,absent,note,archive,classes,finish,free}, vbl_records_options, vbl_record
#pragma once
#include <string.h>

#include "core/data/image.h"
#include "core/data/source.h"

typedef struct vbl_records_options {
  int image_size;  // S
  vbl_crop crop;
  double crop_pct;  // see vbl_fit
  vbl_filter filter;
  int32_t max_tokens;            // [CLS] and [SEP] included; longer texts are cut and counted
  double max_bad;                // the share of bad records, and of bad images, that is skipped; more is an error
  const char *vocabulary;        // a BERT vocabulary file, or NULL: counted from the texts of the train split
  vbl_tokenizer_kind tokenizer;  // whose rules cut texts, with a vocabulary file
  int vocabulary_limit;          // tokens of a counted vocabulary
  const char *split;     // a file `id<TAB>split`, which counts more than what the reader says; NULL: what the reader says, else
                         // split.tsv in the data's folder, else drawn
  double test_fraction;  // of a drawn split: Philox of the id's hash, so that added images move no others
} vbl_records_options;

// What a reader adds. Strings are copied.
typedef struct vbl_record {
  const char *id;         // unique within its split
  const char *split;      // NULL: the reader knows of none
  const char *image;      // a path relative to the data's folder (or absolute); within an archive the member's name
  int32_t archive;        // number of vbl_records_archive, or -1: a file of its own
  int64_t offset, bytes;  // where the image is stored in the archive; bytes -1: row `offset` of an HDF5 file (hdf5_images.h)
  vbl_label label;        // weights and indices of rising classes; read only when the data set has classes
  bool append;            // a further text of the record of this id, when there is one
} vbl_record;

// One image as it is stored.
typedef struct vbl_stored_image {
  int32_t archive;        // -1: a file
  int64_t offset, bytes;  // of an archive's range; bytes -1: a row of an HDF5 file
  bool bad;
} vbl_stored_image;

// A record after reading; one is a sample, the number of the sample is its place.
typedef struct vbl_row {
  int32_t key;       // its number among the ids
  int32_t image;     // its number among the images
  int32_t labels;    // -1: none known
  int64_t label_at;  // its first label in label_index
  int32_t split;     // number of its split, -1: none
} vbl_row;

typedef struct vbl_records {
  vbl_source source;
  vbl_vocabulary *vocabulary;
  vbl_bytes report;                                           // what was skipped, cut or odd, a line each: where, reason
  int64_t added, bad_records, bad_images, absent, truncated;  // added: records that were read, the bad ones not among them
  uint64_t hash;                                              // of ids, splits, texts, labels, images' names and sizes, vocabulary

  // Private from here.
  vbl_records_options options;
  const char *unit;            // what messages call a record: "records"; a reader may set another word
  char *folder;                // ends in '/', or is empty
  vbl_vocabulary *keys;        // "split<TAB>id" of each record
  vbl_vocabulary *image_name;  // of each image; within an archive "archive/member"
  vbl_vocabulary *split_name;
  vbl_vocabulary *class_name;
  vbl_vocabulary *archives;  // paths
  vbl_stored_image *images;
  vbl_row *rows;
  int32_t row_count, row_room, image_room;
  int32_t *text_row;    // [text_count] while reading: whose text
  int64_t *text_start;  // [text_count] in text_bytes, NUL-terminated
  int32_t *first;       // [samples + 1], finished: the texts of sample i are first[i] .. first[i + 1] - 1
  int32_t text_count, text_room;
  vbl_bytes text_bytes, label_index, label_weight;  // int32_t, float (empty: all 1)
  vbl_token_list tokens;
  int64_t *token_first;  // [text_count + 1]
  uint64_t *text_key;    // [text_count] hash of the tokens
  vbl_split *splits;
  int32_t *split_samples;   // all splits' lists, one after the other
  const char **class_list;  // source.class_name
} vbl_records;

// folder: what relative paths of images begin at; "" is the working directory. VBL_EINVAL: an option out of range.
vbl_status vbl_records_new(const char *folder, const vbl_records_options *options, vbl_records **out, vbl_error *err);
void vbl_records_free(vbl_records *r);  // NULL is allowed

// The classes, before the first record. n >= 1 names.
vbl_status vbl_records_classes(vbl_records *r, vbl_label_kind kind, const char *const *name, int32_t n, vbl_error *err);
// A file that images lie in; *number is for vbl_record.archive.
vbl_status vbl_records_archive(vbl_records *r, const char *path, int32_t *number, vbl_error *err);

// Adds a record with its first text, or a text to a record. What is wrong with the record itself (bad UTF-8, an empty text, a class
// outside the classes, an id that the split has already) is counted as bad and noted: `where` ("file:line", "file: id 7") begins the
// note. Errors: no such archive (VBL_EINVAL), lack of memory.
vbl_status vbl_records_add(vbl_records *r, const char *where, const vbl_record *record, const char *text, size_t bytes,
                           vbl_error *err);
// The archive (vbl_records_archive) of the record of this id that no split was given for; -1: a file of its own, or no such record.
int32_t vbl_records_archive_of(const vbl_records *r, const char *id);
// Counts and notes a bad record that the reader could not read ("WHERE: REASON; skipped").
vbl_status vbl_records_skip(vbl_records *r, const char *where, const char *reason, vbl_error *err);
// The same for one that is not there, as the data set's makers say it need not be (a dead link): not counted as bad.
vbl_status vbl_records_absent(vbl_records *r, const char *where, const char *reason, vbl_error *err);
// Appends a line to the report.
vbl_status vbl_records_note(vbl_records *r, vbl_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));

// Makes the data set. `name` begins messages (the file or folder that was read). Errors: too many bad records or images (the first
// reasons named); nothing good in it; an id in two splits of the split file; no sample to train on; the vocabulary's.
vbl_status vbl_records_finish(vbl_records *r, const char *name, vbl_error *err);

// Its steps (records_images.c, records_split.c, records_text.c).
vbl_status vbl_records_check_images(vbl_records *r, const char *name, vbl_error *err);
vbl_status vbl_records_divide(vbl_records *r, vbl_error *err);   // gives every row its split
vbl_status vbl_records_collect(vbl_records *r, vbl_error *err);  // lists the samples of each split
vbl_status vbl_records_tokenize(vbl_records *r, vbl_error *err);
void vbl_records_fill_source(vbl_records *r);  // records_source.c
// More bad ones than max_bad allows: an error that shows the first lines of the report from byte `from` on. what: "images are bad".
vbl_status vbl_records_check_bad(const vbl_records *r, const char *name, int64_t bad, int64_t all, const char *what, size_t from,
                                 vbl_error *err);
const char *vbl_records_id(const vbl_records *r, int32_t sample);
const char *vbl_records_text(const vbl_records *r, int32_t text);
// The stored bytes of image i, appended (of a row of an HDF5 file its pixels). The message names the image.
vbl_status vbl_records_read_image(const vbl_records *r, int32_t image, vbl_bytes *out, vbl_error *err);
// Image i, read once. stored: its stored bytes too, appended, also where they do not decode; NULL: not wanted.
vbl_status vbl_records_decode_image(const vbl_records *r, int32_t image, vbl_image *out, vbl_bytes *stored, vbl_error *err);
// Bytes of the UTF-8 byte order mark that Windows programs put before a text: 3, or 0 where there is none.
static inline size_t vbl_byte_order_mark(const char *text, size_t n) {
  return n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}
