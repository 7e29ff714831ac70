// The loader: the same batches with any number of threads as without, in order; errors, bad images, release in mid-work,
// interrupts.
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/interrupt.h"
#include "core/base/threads.h"
#include "core/data/corrupt.h"
#include "core/data/loader.h"
#include "core/data/scenes.h"
#include "tests/check.h"

enum { N = 60, B = 7, BATCHES = 12, S = 16 };
static vbl_vocabulary *v;
static vbl_scenes scenes = {5, S, 1, false};
static vbl_source good;
static int32_t sample[N];

// Item i of batch k.
static int32_t index_of(int k, int i) { return (k * 13 + i * 5) % N; }

static vbl_request request_of(int k, int32_t index[B], int32_t from[B]) {
  for (int i = 0; i < B; i++) index[i] = index_of(k, i), from[i] = (k + i) % 3 == 0 ? (index[i] + 1) % N : index[i];
  return (vbl_request){B, index, from, 9, (uint32_t)k, k % 4 != 3, 0, NULL};
}

static bool equal(const vbl_batch *a, const vbl_batch *b) {
  return a->B == b->B && a->T == b->T && memcmp(a->tokens, b->tokens, (size_t)(a->B * a->T) * sizeof *a->tokens) == 0 &&
         memcmp(a->lengths, b->lengths, (size_t)a->B * sizeof *a->lengths) == 0 && (a->images == NULL) == (b->images == NULL) &&
         (a->images == NULL || memcmp(a->images, b->images, (size_t)a->B * 3 * S * S) == 0);
}

static void check_threads(const vbl_view *view, int threads, int ahead, int64_t allowed, const char *report) {
  vbl_loader *l = NULL;
  vbl_error err;
  vbl_bad_images bad, single_bad;
  int32_t index[B], from[B];
  CHECK_OK(vbl_bad_images_init(&bad, view->source, allowed, &err), err);
  CHECK_OK(vbl_bad_images_init(&single_bad, view->source, allowed, &err), err);
  CHECK_OK(vbl_loader_new(view, threads, ahead, &l, &err), err);
  if (l == NULL) return;
  for (int k = 0; k < BATCHES; k++) {
    vbl_request r = request_of(k, index, from);
    CHECK_OK(vbl_loader_submit(l, &r, &err), err);
  }
  CHECK(vbl_loader_waiting(l) == BATCHES);
  for (int k = 0; k < BATCHES; k++) {
    vbl_batch got, want;
    vbl_request r = request_of(k, index, from);
    CHECK_OK(vbl_loader_next(l, &bad, &got, &err), err);
    CHECK_OK(vbl_batch_fill(view, &r, &single_bad, &want, &err), err);
    CHECK(equal(&got, &want));
    vbl_batch_free(&got);
    vbl_batch_free(&want);
  }
  CHECK(bad.count == single_bad.count && bad.report.size == single_bad.report.size);
  CHECK(bad.report.size == strlen(report) && (bad.report.size == 0 || memcmp(bad.report.data, report, bad.report.size) == 0));
  CHECK(vbl_loader_waiting(l) == 0);
  vbl_loader_free(l);
  vbl_bad_images_free(&bad);
  vbl_bad_images_free(&single_bad);
}

static void test_content(const vbl_view *view) {
  vbl_batch b;
  vbl_error err;
  vbl_bad_images bad;
  int32_t index[3] = {4, 8, 4}, from[3] = {4, 9, 4};
  vbl_request r = {3, index, from, 1, 2, true, 0, NULL};
  CHECK_OK(vbl_bad_images_init(&bad, view->source, 0, &err), err);
  CHECK_OK(vbl_batch_fill(view, &r, &bad, &b, &err), err);
  for (int i = 0; i < 3; i++) {
    vbl_token_list t = {0};
    uint8_t chw[3 * S * S];
    int32_t who = sample[from[i]];
    CHECK_OK(good.tokens(good.self, who, vbl_caption_choice(1, 2, who, VBL_SCENE_CAPTIONS), &t, &err), err);
    CHECK(t.size == b.lengths[i] && t.size <= b.T && memcmp(t.id, b.tokens + i * b.T, (size_t)t.size * sizeof *t.id) == 0);
    for (int j = t.size; j < b.T; j++) CHECK(b.tokens[i * b.T + j] == 0);
    CHECK_OK(good.image(good.self, sample[index[i]], chw, &err), err);
    CHECK(memcmp(chw, b.images + i * 3 * S * S, sizeof chw) == 0);
    vbl_token_list_free(&t);
  }
  vbl_batch_free(&b);
  index[1] = N;
  CHECK(vbl_batch_fill(view, &r, &bad, &b, &err) == VBL_EINVAL && strstr(err.message, "indices[2] = 60; expected 0 to 59") != NULL);
  r.n = 0;
  CHECK(vbl_batch_fill(view, &r, &bad, &b, &err) == VBL_EINVAL);
  vbl_bad_images_free(&bad);
}

// Samples 26 and 28 do not decode.
static vbl_status some_bad(const void *self, int32_t s, uint8_t *chw, vbl_error *err) {
  if (s == 26 || s == 28) return vbl_fail(err, VBL_EIO, "%d.jpg: damaged image data", s);
  return good.image(self, s, chw, err);
}
static vbl_status all_bad(const void *self, int32_t s, uint8_t *chw, vbl_error *err) {
  (void)self;
  (void)chw;
  return vbl_fail(err, VBL_EIO, "%d.jpg: damaged image data", s);
}

static void test_bad_images(void) {
  vbl_source source = good;
  vbl_view view = {&source, sample, N};
  vbl_error err;
  vbl_bad_images bad;
  vbl_batch b;
  source.image = some_bad;
  // In the order of batches and items, each once: 28 first (index 14), then 26 (index 13), or as the requests have them.
  char report[400] = "";
  for (int k = 0, seen26 = 0, seen28 = 0; k < BATCHES; k++) {
    if (k % 4 == 3) continue;  // tokens only
    for (int i = 0; i < B; i++) {
      int32_t s = sample[index_of(k, i)];
      char line[128];
      bool first26 = s == 26 && !seen26, first28 = (s == 28 || s == 26) && !seen28;
      // 26 is followed by 28 in the view, unless that one lends the caption.
      if (s == 26 && (k + i) % 3 == 0) first28 = false;
      snprintf(line, sizeof line, "image scene-26: 26.jpg: damaged image data; replaced by the next\n");
      if (first26) strcat(report, line), seen26 = 1;
      snprintf(line, sizeof line, "image scene-28: 28.jpg: damaged image data; replaced by the next\n");
      if (first28) strcat(report, line), seen28 = 1;
    }
  }
  CHECK(strlen(report) > 0);
  check_threads(&view, 1, 1, 2, report);
  check_threads(&view, 4, 3, 2, report);
  // Index 13 is sample 26: shown instead is sample 30 (28 is bad too), with its own caption.
  int32_t index[1] = {13}, expected[1] = {15}, from[1] = {14};
  vbl_request r = {1, index, NULL, 1, 2, true, 0, NULL}, r30 = {1, expected, NULL, 1, 2, true, 0, NULL};
  vbl_batch b30;
  CHECK_OK(vbl_bad_images_init(&bad, &source, 2, &err), err);
  CHECK_OK(vbl_batch_fill(&view, &r, &bad, &b, &err), err);
  CHECK_OK(vbl_batch_fill(&view, &r30, &bad, &b30, &err), err);
  CHECK(equal(&b, &b30) && bad.count == 2);
  vbl_batch_free(&b);
  vbl_batch_free(&b30);
  // A caption of another sample stays.
  r.from = from;
  CHECK_OK(vbl_batch_fill(&view, &r, &bad, &b, &err), err);
  r.index = from;
  r.from = NULL;
  r.images = false;
  CHECK_OK(vbl_batch_fill(&view, &r, &bad, &b30, &err), err);
  CHECK(b.T == b30.T && memcmp(b.tokens, b30.tokens, (size_t)b.T * sizeof *b.tokens) == 0 && bad.count == 2);
  vbl_batch_free(&b);
  vbl_batch_free(&b30);
  bad.allowed = 1;
  memset(bad.seen, 0, N * 2);
  bad.count = 0;
  r = (vbl_request){1, index, NULL, 1, 2, true, 0, NULL};
  CHECK(vbl_batch_fill(&view, &r, &bad, &b, &err) == VBL_EIO && strstr(err.message, "more than max_bad allows (1)") != NULL);
  source.image = all_bad;
  CHECK(vbl_batch_fill(&view, &r, &bad, &b, &err) == VBL_EIO && strstr(err.message, "none of the 60 images") != NULL);
  vbl_bad_images_free(&bad);
}

// Images of some samples alone: the tokens of all, those images, and a bad one that is told and not counted.
static void test_some_images(void) {
  vbl_source source = good;
  vbl_view view = {&source, sample, N};
  vbl_error err;
  vbl_bad_images bad;
  vbl_batch all, some;
  int32_t index[5] = {12, 3, 13, 3, 40};
  bool wanted[5] = {false, true, false, false, true};
  vbl_request r = {5, index, NULL, 1, 2, true, 0, NULL}, part = {5, index, NULL, 1, 2, true, 0, wanted};
  CHECK_OK(vbl_bad_images_init(&bad, &source, 0, &err), err);
  CHECK_OK(vbl_batch_fill(&view, &r, &bad, &all, &err), err);
  source.image = some_bad;  // of index 13 and 14, which are not wanted
  CHECK_OK(vbl_batch_fill(&view, &part, &bad, &some, &err), err);
  CHECK(all.pictures == 5 && some.pictures == 2 && some.T == all.T && !all.replaced && !some.replaced);
  CHECK(memcmp(some.tokens, all.tokens, (size_t)(all.B * all.T) * sizeof *all.tokens) == 0);
  CHECK(memcmp(some.images, all.images + 1 * 3 * S * S, 3 * S * S) == 0);
  CHECK(memcmp(some.images + 3 * S * S, all.images + 4 * 3 * S * S, 3 * S * S) == 0);
  vbl_batch_free(&some);
  wanted[2] = true;
  CHECK_OK(vbl_batch_fill(&view, &part, &bad, &some, &err), err);
  CHECK(some.pictures == 3 && some.replaced && bad.count == 0 && bad.report.size == 0);
  vbl_batch_free(&some);
  memset(wanted, 0, sizeof wanted);
  CHECK_OK(vbl_batch_fill(&view, &part, &bad, &some, &err), err);
  CHECK(some.pictures == 0 && some.images != NULL && !some.replaced);
  vbl_batch_free(&some);
  vbl_batch_free(&all);
  vbl_bad_images_free(&bad);
}

// Samples below 20 are refused, each in its own words, and the later of them at once.
static vbl_status refused(const void *self, int32_t s, int32_t caption, vbl_token_list *out, vbl_error *err) {
  if (s >= 20) return good.tokens(self, s, caption, out, err);
  if (s == 18) nanosleep(&(struct timespec){0, 20000000}, NULL);
  return vbl_fail(err, VBL_EIO, "sample %d is refused", s);
}

// Of what fails in a batch its first item is told of, and an interrupt ends it, whatever the threads.
static void test_failing(void) {
  vbl_source source = good;
  vbl_view view = {&source, sample, N};
  vbl_error err;
  vbl_bad_images bad;
  vbl_batch b;
  int32_t index[N];
  for (int i = 0; i < N; i++) index[i] = N - 1 - i;  // sample 18 is the first that is refused
  vbl_request r = {N, index, NULL, 1, 2, false, 0, NULL};
  source.tokens = refused;
  CHECK_OK(vbl_bad_images_init(&bad, &source, 0, &err), err);
  for (int threads = 1; threads <= 4; threads += 3) {
    CHECK_OK(vbl_set_threads(threads, &err), err);
    CHECK(vbl_batch_fill(&view, &r, &bad, &b, &err) == VBL_EIO && strcmp(err.message, "sample 18 is refused") == 0);
    r.images = true;
    vbl_interrupt_request(SIGINT);
    CHECK(vbl_batch_fill(&view, &r, &bad, &b, &err) == VBL_EINTERRUPT && b.images == NULL);
    vbl_interrupt_clear();
    r.images = false;
  }
  vbl_bad_images_free(&bad);
}

static vbl_status slow(const void *self, int32_t s, uint8_t *chw, vbl_error *err) {
  nanosleep(&(struct timespec){0, 5000000}, NULL);
  return good.image(self, s, chw, err);
}

static void test_stopping(void) {
  vbl_source source = good;
  vbl_view view = {&source, sample, N};
  vbl_loader *l = NULL;
  vbl_error err;
  vbl_bad_images bad;
  vbl_batch b;
  int32_t index[B], from[B];
  source.image = slow;
  CHECK_OK(vbl_bad_images_init(&bad, &source, 0, &err), err);
  CHECK_OK(vbl_loader_new(&view, 3, 2, &l, &err), err);
  CHECK(vbl_loader_next(l, &bad, &b, &err) == VBL_EINVAL && strstr(err.message, "submit") != NULL);
  for (int k = 0; k < BATCHES; k++) {
    vbl_request r = request_of(k, index, from);
    CHECK_OK(vbl_loader_submit(l, &r, &err), err);
  }
  vbl_interrupt_request(SIGINT);
  CHECK(vbl_loader_next(l, &bad, &b, &err) == VBL_EINTERRUPT);
  vbl_interrupt_clear();
  CHECK(vbl_loader_waiting(l) == BATCHES);  // nothing was lost
  CHECK_OK(vbl_loader_next(l, &bad, &b, &err), err);
  vbl_batch_free(&b);
  vbl_loader_free(l);  // in mid-work
  CHECK(vbl_loader_new(&view, 0, 2, &l, &err) == VBL_EINVAL && vbl_loader_new(&view, 1, 0, &l, &err) == VBL_EINVAL);
  view.n = 0;
  CHECK(vbl_loader_new(&view, 1, 1, &l, &err) == VBL_EINVAL);
  vbl_bad_images_free(&bad);
}

int main(void) {
  vbl_error err;
  const char *words = vbl_scenes_words();
  CHECK_OK(vbl_vocabulary_build(&words, 1, 1000, 1, &v, &err), err);
  CHECK_OK(vbl_scenes_source(&scenes, 2 * N, VBL_SCENE_TOKENS, v, &good, &err), err);
  for (int i = 0; i < N; i++) sample[i] = 2 * i;
  vbl_view view = {&good, sample, N};
  test_content(&view);
  check_threads(&view, 1, 1, 0, "");
  check_threads(&view, 2, 4, 0, "");
  check_threads(&view, 5, BATCHES + 5, 0, "");
  test_bad_images();
  test_some_images();
  test_failing();
  test_stopping();
  vbl_scenes_source_free(&good);
  vbl_vocabulary_free(v);
  return check_done();
}
