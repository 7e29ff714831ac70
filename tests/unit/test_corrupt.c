// Order, caption choice, masks and swaps: what they may and may not touch, that they depend on their key alone, and their
// frequencies: a count of probability p in n draws lies within 5 sqrt(n p (1 - p)) of n p (a failure by chance: 6e-7).
#include <stdlib.h>

#include "core/data/corrupt.h"
#include "core/data/scenes.h"
#include "tests/check.h"

#define CHECK_COUNT(count, n, p) CHECK_NEAR(count, (double)(n) * (p), 5 * sqrt((double)(n) * (p) * (1 - (p))) + 1e-9)

static vbl_vocabulary *vocabulary(void) {
  const char *words = vbl_scenes_words();
  vbl_vocabulary *v = NULL;
  vbl_error err;
  CHECK_OK(vbl_vocabulary_build(&words, 1, 1000, 1, &v, &err), err);
  return v;
}

static void test_mask_tokens(const vbl_vocabulary *v) {
  enum { B = 1000, T = 24 };
  static int32_t tokens[B * T], masked[B * T], labels[B * T], lengths[B], sample[B];
  int32_t ordinaries, cls = vbl_vocabulary_special(v, VBL_CLS), sep = vbl_vocabulary_special(v, VBL_SEP),
                      mask = vbl_vocabulary_special(v, VBL_MASK);
  const int32_t *ordinary = vbl_vocabulary_ordinary(v, &ordinaries);
  int64_t maskable = 0, chosen = 0, to_mask = 0, same = 0, other = 0, wrong = 0;
  for (int b = 0; b < B; b++) {
    lengths[b] = 3 + b % (T - 2);
    sample[b] = 7 * b;
    for (int t = 0; t < T; t++) tokens[b * T + t] = t == 0 ? cls : t == lengths[b] - 1 ? sep : ordinary[(b + t) % ordinaries];
    for (int t = lengths[b]; t < T; t++) tokens[b * T + t] = ordinary[0];  // padding is known from the length, not from the id
  }
  memcpy(masked, tokens, sizeof tokens);
  vbl_mask_tokens(v, 5, 9, 0.15, B, T, lengths, sample, masked, labels);
  for (int i = 0; i < B * T; i++) {
    int t = i % T, length = lengths[i / T];
    bool may = t > 0 && t < length - 1, is = labels[i] != VBL_IGNORE_LABEL;
    wrong += is && (!may || labels[i] != tokens[i]);
    wrong += !is && masked[i] != tokens[i];
    wrong += is && masked[i] != mask && (masked[i] == cls || masked[i] == sep || masked[i] <= 1);
    maskable += may;
    chosen += is;
    to_mask += is && masked[i] == mask;
    same += is && masked[i] == tokens[i];
    other += is && masked[i] != mask && masked[i] != tokens[i];
  }
  CHECK(wrong == 0 && maskable > 10000);
  CHECK_COUNT(chosen, maskable, 0.15);
  CHECK_COUNT(to_mask, chosen, 0.8);
  CHECK_COUNT(same, chosen, 0.1 + 0.1 / ordinaries);  // a random token is the old one once in `ordinaries`
  CHECK_COUNT(other, chosen, 0.1 - 0.1 / ordinaries);
  // One row alone, and in a wider batch, is masked as in the big batch.
  int32_t row[40], row_labels[40], at = 500;
  memcpy(row, tokens + at * T, T * sizeof *row);
  for (int t = T; t < 40; t++) row[t] = 0;
  vbl_mask_tokens(v, 5, 9, 0.15, 1, 40, lengths + at, sample + at, row, row_labels);
  CHECK(memcmp(row, masked + at * T, T * sizeof *row) == 0 && memcmp(row_labels, labels + at * T, T * sizeof *row) == 0);
  // Another step, seed or sample masks otherwise.
  static int32_t again[B * T];
  memcpy(again, tokens, sizeof tokens);
  vbl_mask_tokens(v, 5, 10, 0.15, B, T, lengths, sample, again, labels);
  CHECK(memcmp(again, masked, sizeof masked) != 0);
  memcpy(again, tokens, sizeof tokens);
  vbl_mask_tokens(v, 6, 9, 0.15, B, T, lengths, sample, again, labels);
  CHECK(memcmp(again, masked, sizeof masked) != 0);
  vbl_mask_tokens(v, 6, 9, 0, B, T, lengths, sample, again, labels);
  for (int i = 0; i < B * T; i++) wrong += labels[i] != VBL_IGNORE_LABEL;
  CHECK(wrong == 0);
}

static void test_mask_patches(void) {
  enum { B = 2000, P = 16 };
  static uint8_t mask[B * P], row[P];
  static int32_t sample[B];
  int64_t count[P] = {0}, pair = 0;
  for (int b = 0; b < B; b++) sample[b] = b;
  vbl_mask_patches(1, 2, 0.3, B, P, sample, mask);  // round(4.8) = 5
  for (int b = 0; b < B; b++) {
    int sum = 0;
    for (int p = 0; p < P; p++) sum += mask[b * P + p], count[p] += mask[b * P + p];
    CHECK(sum == 5);
    pair += mask[b * P] && mask[b * P + 15];
  }
  for (int p = 0; p < P; p++) CHECK_COUNT(count[p], B, 5.0 / 16);
  CHECK_COUNT(pair, B, 5.0 / 16 * 4 / 15);  // sets are equally likely, not only positions
  vbl_mask_patches(1, 2, 0.3, 1, P, sample + 77, row);
  CHECK(memcmp(row, mask + 77 * P, P) == 0);
  vbl_mask_patches(1, 2, 0.001, 1, P, sample, row);
  int sum = 0;
  for (int p = 0; p < P; p++) sum += row[p];
  CHECK(sum == 1);
  vbl_mask_patches(1, 2, 1, 1, P, sample, row);
  for (int p = 0; p < P; p++) CHECK(row[p] == 1);
  vbl_mask_patches(1, 2, 0, 1, P, sample, row);
  for (int p = 0; p < P; p++) CHECK(row[p] == 0);
}

static void test_order(void) {
  enum { N = 50, EPOCHS = 2000 };
  int32_t order[N], again[N];
  int64_t first[N] = {0}, fixed = 0, bad = 0;
  for (uint32_t e = 0; e < EPOCHS; e++) {
    bool seen[N] = {false};
    vbl_epoch_order(3, e, N, order);
    for (int i = 0; i < N; i++) {
      bad += seen[order[i]];
      seen[order[i]] = true;
      fixed += order[i] == i;
    }
    first[order[0]]++;
  }
  CHECK(bad == 0);
  for (int i = 0; i < N; i++) CHECK_COUNT(first[i], EPOCHS, 1.0 / N);
  CHECK_NEAR(fixed, EPOCHS, 5 * sqrt(EPOCHS));  // fixed points of a permutation: mean 1, variance 1
  vbl_epoch_order(3, 7, N, order);
  vbl_epoch_order(3, 7, N, again);
  CHECK(memcmp(order, again, sizeof order) == 0);
  vbl_epoch_order(3, 8, N, again);
  CHECK(memcmp(order, again, sizeof order) != 0);
  int64_t choice[5] = {0};
  for (int32_t s = 0; s < 10000; s++) choice[vbl_caption_choice(1, 2, s, 5)]++;
  for (int k = 0; k < 5; k++) CHECK_COUNT(choice[k], 10000, 0.2);
  CHECK(vbl_caption_choice(1, 2, 3, 1) == 0);
}

static uint64_t one_text(const void *self, int32_t sample, int32_t caption) {
  (void)caption;
  return *(const bool *)self && sample == 4 ? 2 : 1;
}
static int32_t one_caption(const void *self, int32_t sample) {
  (void)self;
  (void)sample;
  return 1;
}

static void test_swap(const vbl_vocabulary *v) {
  enum { N = 3000 };
  vbl_scenes scenes = {11, 32, 1, false};
  vbl_source source;
  vbl_error err;
  static int32_t sample[N], index[N], from[N], again[N];
  static float matched[N];
  CHECK_OK(vbl_scenes_source(&scenes, 2 * N, VBL_SCENE_TOKENS, v, &source, &err), err);
  for (int i = 0; i < N; i++) sample[i] = 2 * i, index[i] = N - 1 - i;
  vbl_view view = {&source, sample, N};
  CHECK_OK(vbl_swap_captions(&view, 1, 2, 9, 3, 0.5, N, index, from, matched, &err), err);
  int64_t swapped = 0, wrong = 0;
  double sum = 0;
  for (int b = 0; b < N; b++) {
    wrong += from[b] < 0 || from[b] >= N || (matched[b] == 1) != (from[b] == index[b]);
    if (matched[b] == 1) continue;
    swapped++;
    sum += from[b];
    wrong += source.text_key(source.self, sample[from[b]], 0) == source.text_key(source.self, sample[index[b]], 0);
  }
  CHECK(wrong == 0);
  CHECK(swapped == N / 2);
  // Partners come from all of the view: the mean of uniform numbers 0 .. N-1 has variance (N^2 - 1) / 12 / swapped.
  CHECK_NEAR(sum / (double)swapped, (N - 1) / 2.0, 5 * sqrt(((double)N * N - 1) / 12 / (double)swapped));
  CHECK_OK(vbl_swap_captions(&view, 1, 2, 9, 3, 0.5, N, index, again, matched, &err), err);
  CHECK(memcmp(again, from, sizeof again) == 0);
  // An odd batch: the middle pair is swapped at half of the steps.
  swapped = 0;
  for (uint32_t step = 0; step < 400; step++) {
    CHECK_OK(vbl_swap_captions(&view, 1, step, 9, 3, 0.5, 5, index, again, matched, &err), err);
    int64_t here = 0;
    for (int b = 0; b < 5; b++) here += matched[b] == 0;
    CHECK(here == 2 || here == 3);
    swapped += here - 2;
  }
  CHECK_COUNT(swapped, 400, 0.5);
  CHECK_OK(vbl_swap_captions(&view, 1, 2, 9, 3, 0, N, index, from, matched, &err), err);
  CHECK(memcmp(from, index, sizeof from) == 0);
  vbl_scenes_source_free(&source);
  // Nearly equal texts: the one that differs is found; where none does it is an error.
  bool one_differs = true;
  vbl_source plain = {.self = &one_differs, .samples = N, .captions = one_caption, .text_key = one_text};
  vbl_view all = {&plain, sample, N};  // sample 4 is index 2
  CHECK_OK(vbl_swap_captions(&all, 1, 2, 9, 3, 1, 2, (int32_t[]){0, 1}, from, matched, &err), err);
  CHECK(from[0] == 2 && from[1] == 2 && matched[0] == 0);
  one_differs = false;
  CHECK(vbl_swap_captions(&all, 1, 2, 9, 3, 1, 2, (int32_t[]){0, 1}, from, matched, &err) == VBL_EINVAL);
  CHECK(strstr(err.message, "two different texts") != NULL);
}

int main(void) {
  vbl_vocabulary *v = vocabulary();
  test_mask_tokens(v);
  test_mask_patches();
  test_order();
  test_swap(v);
  vbl_vocabulary_free(v);
  return check_done();
}
