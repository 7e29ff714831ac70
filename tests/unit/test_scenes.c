// The built-in data set: the same samples from the same seed, attributes evenly spread and visible in picture and caption.
#include <stdlib.h>

#include "core/data/scenes.h"
#include "tests/check.h"

static const char *const colors[] = {"red", "green", "blue", "yellow", "purple", "orange", "cyan", "white"};
static const int rgb[8][3] = {{215, 40, 40},  {40, 170, 50},  {45, 70, 220},  {225, 215, 50},
                              {140, 45, 170}, {240, 135, 25}, {50, 205, 215}, {240, 240, 240}};
static const char *const shapes[] = {"circle", "square", "triangle", "cross"};

static void test_scene(void) {
  enum { N = 5760 };
  vbl_scenes s = {3, 64, 1, false}, other = {4, 64, 1, false};
  int64_t color[8] = {0}, place[9] = {0}, same = 0;
  for (int32_t i = 0; i < N; i++) {
    vbl_scene a = vbl_scenes_describe(&s, i), b = vbl_scenes_describe(&other, i), c = a;
    color[a.object[0].color]++;
    place[a.object[0].place]++;
    same += memcmp(&a.object[0], &b.object[0], sizeof a.object[0]) == 0;
    int which = vbl_scenes_change(&s, &c, i, 1);
    int differ[4] = {a.object[0].color != c.object[0].color, a.object[0].shape != c.object[0].shape,
                     a.object[0].size != c.object[0].size, a.object[0].place != c.object[0].place};
    CHECK(differ[0] + differ[1] + differ[2] + differ[3] == 1 && differ[which]);
  }
  // Counts within 5 standard deviations of a binomial's mean.
  for (int k = 0; k < 8; k++) CHECK_NEAR(color[k], N / 8.0, 5 * sqrt(N / 8.0 * 7 / 8));
  for (int k = 0; k < 9; k++) CHECK_NEAR(place[k], N / 9.0, 5 * sqrt(N / 9.0 * 8 / 9));
  CHECK_NEAR(same, N / 576.0, 5 * sqrt(N / 576.0));
  s.objects = 2;
  for (int32_t i = 0; i < 2000; i++) {
    vbl_scene a = vbl_scenes_describe(&s, i);
    CHECK(a.object[0].place != a.object[1].place);
    CHECK(a.object[0].color != a.object[1].color || a.object[0].shape != a.object[1].shape);
  }
}

static void test_picture(void) {
  enum { S = 64, N = 400 };
  static uint8_t a[3 * S * S], b[3 * S * S];
  vbl_scenes s = {3, S, 1, false};
  vbl_error err;
  int seen = 0, right = 0;
  for (int32_t i = 0; i < N; i++) {
    vbl_scene scene = vbl_scenes_describe(&s, i);
    const vbl_object *o = &scene.object[0];
    CHECK_OK(vbl_scenes_draw(&s, i, a, &err), err);
    if (o->shape > 1) continue;  // of circles and squares the middle is always covered
    int x = (2 * (o->place % 3) + 1) * S / 6, y = (2 * (o->place / 3) + 1) * S / 6, best = -1;
    double least = 1e9, mean[3] = {0};
    for (int c = 0; c < 3; c++)
      for (int k = 0; k < 9; k++) mean[c] += a[(c * S + y - 1 + k / 3) * S + x - 1 + k % 3] / 9.0;
    for (int k = 0; k < 8; k++) {
      double d = 0;
      for (int c = 0; c < 3; c++) d += (mean[c] - rgb[k][c]) * (mean[c] - rgb[k][c]);
      if (d < least) least = d, best = k;
    }
    seen++;
    right += best == o->color;
  }
  CHECK(seen > 100 && right >= seen - seen / 100);
  CHECK_OK(vbl_scenes_draw(&s, 7, a, &err), err);
  CHECK_OK(vbl_scenes_draw(&s, 7, b, &err), err);
  CHECK(memcmp(a, b, sizeof a) == 0);
  CHECK_OK(vbl_scenes_draw(&s, 8, b, &err), err);
  CHECK(memcmp(a, b, sizeof a) != 0);
}

static void test_text(void) {
  vbl_vocabulary *v = NULL;
  vbl_error err;
  const char *words = vbl_scenes_words();
  CHECK_OK(vbl_vocabulary_build(&words, 1, 1000, 1, &v, &err), err);
  int different = 0;
  for (int objects = 1; objects <= 2; objects++) {
    vbl_scenes s = {3, 64, objects, false};
    vbl_source source;
    CHECK_OK(vbl_scenes_source(&s, 500, VBL_SCENE_TOKENS, v, &source, &err), err);
    for (int32_t i = 0; i < 500; i++) {
      vbl_scene scene = vbl_scenes_describe(&s, i);
      for (int32_t k = 0; k < VBL_SCENE_CAPTIONS; k++) {
        vbl_bytes text = {0};
        vbl_token_list t = {0}, bare = {0};
        CHECK_OK(source.text(source.self, i, k, &text, &err), err);
        CHECK_OK(vbl_bytes_add(&text, "", 1, &err), err);
        CHECK(strstr((char *)text.data, colors[scene.object[0].color]) != NULL);
        CHECK(strstr((char *)text.data, shapes[scene.object[objects - 1].shape]) != NULL);
        CHECK_OK(source.tokens(source.self, i, k, &t, &err), err);
        CHECK_OK(vbl_tokenize(v, (char *)text.data, text.size - 1, &bare, &err), err);
        CHECK(t.size == bare.size + 2);  // never cut
        for (int32_t j = 0; j < bare.size; j++) {
          const char *token = vbl_vocabulary_token(v, bare.id[j]);
          CHECK(token[0] != '[' && token[0] != '#');  // each word is one token
        }
        different += k > 0 && memcmp(text.data, "a ", 2) != 0;
        vbl_bytes_free(&text);
        vbl_token_list_free(&t);
        vbl_token_list_free(&bare);
      }
    }
    vbl_scenes_source_free(&source);
  }
  CHECK(different > 1000);
  vbl_source source;
  vbl_scenes tiny = {0, 8, 1, false};
  CHECK(vbl_scenes_source(&tiny, 10, VBL_SCENE_TOKENS, v, &source, &err) == VBL_EINVAL && strstr(err.message, "image = 8") != NULL);
  vbl_vocabulary_free(v);
}

int main(void) {
  test_scene();
  test_picture();
  test_text();
  return check_done();
}
