// Captions from a TSV: grouping, splits, vocabulary, bad lines and bad images, all made here.
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/data/captions.h"
#include "tests/check.h"
#include "tests/png.h"

static char folder[] = "/tmp/vbl-test-captions-XXXXXX";
static char tsv[128];

static void write_file(const char *name, const void *bytes, size_t n) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  fwrite(bytes, 1, n, f);
  fclose(f);
}
static void write_text(const char *name, const char *text) { write_file(name, text, strlen(text)); }
static void remove_file(const char *name) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  unlink(path);
}

static void write_images(void) {
  static uint8_t file[8000], rows[20 * 16 * 3];
  for (int k = 0; k < 4; k++) {
    char name[16];
    memset(rows, 40 * (k + 1), sizeof rows);
    snprintf(name, sizeof name, "%c.png", 'a' + k);
    write_file(name, file, png(20, 16, 8, 2, rows, file));
  }
  write_file("cut.png", file, 200);
  write_text("empty.jpg", "");
  write_text("text.jpg", "this is no image");
}

static const vbl_records_options plain = {
    .image_size = 16, .crop = VBL_CROP_CENTER, .max_tokens = 12, .max_bad = 0, .vocabulary_limit = 500, .test_fraction = 0};

static vbl_records *open_text(const char *text, const vbl_records_options *o, vbl_error *err) {
  vbl_records *c = NULL;
  write_text("captions.tsv", text);
  vbl_captions_open(tsv, o, &c, err);
  return c;
}

static void check_fails(const char *text, const vbl_records_options *o, const char *expected) {
  vbl_error err = {0};
  vbl_records *c = open_text(text, o, &err);
  CHECK(c == NULL);
  if (strstr(err.message, expected) == NULL) CHECK_STR(err.message, expected);
  vbl_records_free(c);
}

static void check_reports(const vbl_records *c, const char *expected) {
  vbl_bytes text = {0};
  vbl_error err;
  vbl_bytes_add(&text, c->report.data, c->report.size, &err);
  vbl_bytes_add(&text, "", 1, &err);
  if (strstr((char *)text.data, expected) == NULL) CHECK_STR((char *)text.data, expected);
  vbl_bytes_free(&text);
}

static int32_t size_of(const vbl_records *r, const char *split) {
  const vbl_split *s = vbl_source_split(&r->source, split);
  return s == NULL ? 0 : s->n;
}
static int32_t sample_of(const vbl_records *r, const char *split, int i) { return vbl_source_split(&r->source, split)->sample[i]; }

static void test_good(void) {
  vbl_error err = {0};
  vbl_records_options o = plain;
  // Two captions of a.png apart from each other; quotes are text; the last line has no end.
  vbl_records *c = open_text("a.png\tA dog runs .\nb.png\t\"A cat\" sits .\na.png\ta dog RUNS .\nc.png\tA dog and a cat", &o, &err);
  CHECK(c != NULL);
  if (c == NULL) {
    fprintf(stderr, "%s\n", err.message);
    return;
  }
  const vbl_source *s = &c->source;
  CHECK(s->samples == 3 && s->captions(s->self, 0) == 2 && s->captions(s->self, 1) == 1 && c->report.size == 0 && c->added == 4);
  CHECK(s->text_key(s->self, 0, 0) == s->text_key(s->self, 0, 1));  // equal after lower case
  CHECK(s->text_key(s->self, 0, 0) != s->text_key(s->self, 1, 0));
  vbl_bytes text = {0};
  CHECK_OK(s->text(s->self, 1, 0, &text, &err), err);
  CHECK(text.size == 14 && memcmp(text.data, "\"A cat\" sits .", 14) == 0);
  text.size = 0;
  CHECK_OK(s->id(s->self, 0, &text, &err), err);
  CHECK(text.size == 5 && memcmp(text.data, "a.png", 5) == 0);
  uint8_t chw[3 * 16 * 16];
  for (int i = 0; i < 3; i++) {
    CHECK_OK(s->image(s->self, i, chw, &err), err);
    CHECK(chw[0] == 40 * (i + 1) && chw[3 * 256 - 1] == 40 * (i + 1));
  }
  vbl_token_list t = {0};
  CHECK_OK(s->tokens(s->self, 2, 0, &t, &err), err);
  CHECK(t.size > 7 && t.id[0] == vbl_vocabulary_special(c->vocabulary, VBL_CLS) &&
        t.id[t.size - 1] == vbl_vocabulary_special(c->vocabulary, VBL_SEP));
  vbl_token_list_free(&t);
  uint64_t hash = c->hash;
  vbl_bytes_free(&text);
  vbl_records_free(c);
  c = open_text("a.png\tA dog runs .\nb.png\t\"A cat\" sits .\na.png\ta dog RUNS .\nc.png\tA dog and a cow", &o, &err);
  CHECK(c != NULL && c->hash != hash);
  vbl_records_free(c);
}

static void test_bad_lines(void) {
  vbl_error err = {0};
  vbl_records_options o = plain;
  vbl_records *c = NULL;
  CHECK(vbl_captions_open("/nonexistent/captions.tsv", &o, &c, &err) == VBL_EIO &&
        strstr(err.message, "/nonexistent/captions.tsv: No such file") != NULL &&
        strstr(err.message, "image path, tab, caption") != NULL);
  check_fails("a.png\tA dog\nno tab here\n", &o, "captions.tsv:2: no tab; expected path<TAB>caption");
  check_fails("a.png\tA dog\nb.png\t \n", &o, "captions.tsv:2: an empty text");
  check_fails("a.png\tA dog\n\nb.png\tA\n", &o, "captions.tsv:2: no tab");
  check_fails("a.png\tA dog\n\tA\n", &o, "captions.tsv:2: an empty path");
  check_fails("a.png\tA \xFF dog\n", &o, "captions.tsv:1: invalid UTF-8 at byte offset 2");
  check_fails("a.png,A dog\nb.png,\"A cat, black\"\n", &o,
              "captions.tsv: 2 of 2 lines have no tab (this looks like CSV: with a header, the reader csv takes it); expected "
              "lines path<TAB>caption");
  check_fails("a.png A dog\nb.png A cat\n", &o, "2 of 2 lines have no tab; expected lines path<TAB>caption");
  check_fails("a.png\tA dog\nno tab\n", &o, "1 of 2 lines are bad, more than max_bad = 0 of them");
  check_fails("", &o, "no captions in it");
  o.max_bad = 0.5;
  c = open_text("a.png\tA dog\r\nno tab here\nb.png\tA cat\r\nc.png\t\nd.png\t  A bird\n", &o, &err);
  CHECK(c != NULL && c->bad_records == 2 && c->added == 3 && c->source.samples == 3);
  if (c == NULL) return;
  check_reports(c, "captions.tsv:2: no tab; expected path<TAB>caption; skipped\n");
  check_reports(c, "captions.tsv:4: an empty text; skipped\n");
  check_reports(c, "captions.tsv: 2 lines end in CRLF; the CR is left out\n");
  CHECK(strcmp(vbl_records_text(c, 0), "A dog") == 0);
  vbl_records_free(c);
}

static void test_bad_images(void) {
  vbl_error err = {0};
  vbl_records_options o = plain;
  check_fails("a.png\tA\nnone.jpg\tB\n", &o, "none.jpg: No such file");
  check_fails("a.png\tA\ncut.png\tB\n", &o, "cut.png: truncated");
  check_fails("a.png\tA\nempty.jpg\tB\n", &o, "empty.jpg: an empty file (0 bytes)");
  check_fails("a.png\tA\ntext.jpg\tB\n", &o, "text.jpg: neither JPEG nor PNG");
  check_fails("a.png\tA\ntext.jpg\tB\n", &o, "1 of 2 images are bad, more than max_bad = 0");
  o.max_bad = 1;
  check_fails("cut.png\tA\ntext.jpg\tB\n", &o, "none of its images can be read");
  o.max_bad = 0.5;
  vbl_records *c = open_text("cut.png\tone\na.png\ttwo\ntext.jpg\tthree\nb.png\tfour\ncut.png\tfive\na.png\tsix\n", &o, &err);
  CHECK(c != NULL && c->bad_images == 2 && c->source.samples == 2 && c->first[2] == 3);
  if (c == NULL) return;
  CHECK(strcmp(vbl_records_id(c, 0), "a.png") == 0 && strcmp(vbl_records_id(c, 1), "b.png") == 0);
  CHECK(strcmp(vbl_records_text(c, 0), "two") == 0 && strcmp(vbl_records_text(c, 1), "six") == 0 &&
        strcmp(vbl_records_text(c, 2), "four") == 0);
  check_reports(c, "cut.png: truncated");
  check_reports(c, "skipped with its texts\n");
  vbl_records_free(c);
}

static void test_vocabulary(void) {
  vbl_error err = {0};
  vbl_records_options o = plain;
  char path[160];
  snprintf(path, sizeof path, "%s/vocab.txt", folder);
  o.vocabulary = path;
  write_text("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\ndog\n");
  check_fails("a.png\tA dog\n", &o, "vocab.txt: the token [MASK] is missing");
  write_text("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\ndog\ndog\n");
  vbl_records *c = open_text("a.png\tA dog a dog a dog a dog a dog a dog\nb.png\ta dog a dog a dog a dog a dog\n", &o, &err);
  CHECK(c != NULL && c->truncated == 1 && c->token_first[1] == 12 && c->token_first[2] == 24);
  if (c == NULL) return;
  CHECK(c->tokens.id[0] == 2 && c->tokens.id[1] == 5 && c->tokens.id[2] == 7 && c->tokens.id[11] == 3);
  CHECK(c->text_key[0] == c->text_key[1]);  // cut to the same tokens
  check_reports(c, "1 of 2 texts have more than max_tokens = 12 tokens; cut\n");
  check_reports(c, "1 tokens stand twice, the first is \"dog\"; the last one counts\n");
  vbl_records_free(c);
  o.vocabulary = "/nonexistent/vocab.txt";
  check_fails("a.png\tA dog\n", &o, "/nonexistent/vocab.txt: No such file");
}

static void test_splits(void) {
  vbl_error err = {0};
  vbl_records_options o = plain;
  const char *four = "a.png\tA\nb.png\tB\nc.png\tC\nd.png\tD\n";
  write_text("split.tsv", "a.png\ttrain\nc.png\ttest\nb.png\tdev\r\nz.png\ttrain\na.png\ttrain\n");
  vbl_records *c = open_text(four, &o, &err);
  CHECK(c != NULL && size_of(c, "train") == 1 && size_of(c, "dev") == 1 && size_of(c, "test") == 1);
  if (c != NULL) {
    CHECK(sample_of(c, "train", 0) == 0 && sample_of(c, "dev", 0) == 1 && sample_of(c, "test", 0) == 2);
    check_reports(c, "1 ids have no sample\n");
    check_reports(c, "1 samples are in no split; left out\n");
  }
  vbl_records_free(c);
  write_text("split.tsv",
             "\xEF\xBB\xBF"
             "a.png\ttest\nb.png\ttrain\n");
  c = open_text(
      "\xEF\xBB\xBF"
      "a.png\tA\nb.png\tB\n",
      &o, &err);
  CHECK(c != NULL && size_of(c, "train") == 1 && size_of(c, "test") == 1 && c->report.size == 0);
  vbl_records_free(c);
  write_text("split.tsv", "a.png\ttrain\na.png\ttest\n");
  check_fails(four, &o, "split.tsv: line 2: a.png is in the splits train and test; expected one");
  write_text("split.tsv", "\na.png\tvalidation\n");
  check_fails(four, &o, "line 2: split \"validation\"; expected train, dev, val, test,");
  write_text("split.tsv", "a.png\ttest\n");
  check_fails(four, &o, "no sample is in the train split");
  remove_file("split.tsv");
  o.split = "/nonexistent/split.tsv";
  check_fails(four, &o, "/nonexistent/split.tsv: No such file");
  o.split = NULL;
  // Drawn: each in one split, and a sample keeps its side when others come or go.
  o.test_fraction = 0.5;
  c = open_text(four, &o, &err);
  vbl_records *d = open_text("d.png\tD\nb.png\tB\na.png\tA\n", &o, &err);
  CHECK(c != NULL && d != NULL);
  if (c != NULL && d != NULL) {
    CHECK(size_of(c, "train") + size_of(c, "test") == 4 && size_of(c, "dev") == 0);
    for (int i = 0; i < size_of(d, "test"); i++) {
      bool also = false;
      for (int k = 0; k < size_of(c, "test"); k++)
        also = also || strcmp(vbl_records_id(d, sample_of(d, "test", i)), vbl_records_id(c, sample_of(c, "test", k))) == 0;
      CHECK(also);
    }
  }
  vbl_records_free(c);
  vbl_records_free(d);
  o.image_size = 8;
  check_fails(four, &o, "image = 8; expected 16 to 1024");
}

int main(void) {
  if (mkdtemp(folder) == NULL) return 1;
  snprintf(tsv, sizeof tsv, "%s/captions.tsv", folder);
  write_images();
  test_good();
  test_bad_lines();
  test_bad_images();
  test_vocabulary();
  test_splits();
  static const char *const names[] = {"a.png",     "b.png",    "c.png",     "d.png",       "cut.png",
                                      "empty.jpg", "text.jpg", "vocab.txt", "captions.tsv"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) remove_file(names[i]);
  CHECK(rmdir(folder) == 0);
  return check_done();
}
