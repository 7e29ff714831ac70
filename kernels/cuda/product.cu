// defines: vbl_product::run, vbl_product::cache_file
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <tuple>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/product.h"

namespace vbl_product {

static std::string file_path() {
  const char *folder = getenv("VBL_CUDA_CACHE"), *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (vbl_lt::identity()[0] == '\0') return "";
  if (folder != nullptr) return folder[0] == '\0' ? "" : std::string(folder) + "/cublaslt.tsv";
  if (base != nullptr && base[0] == '/') return std::string(base) + "/vbl/cublaslt.tsv";
  return home != nullptr ? std::string(home) + "/.cache/vbl/cublaslt.tsv" : "";
}

const char *cache_file(void) {
  static const std::string path = file_path();
  return path.c_str();
}

// Rows of packed text come in a hundred numbers: above 128 sizes count in steps of an eighth.
static int64_t nearly(int64_t n) {
  int64_t step = 1;
  while (n > 128 && step * 16 <= n) step *= 2;
  return (n + step - 1) / step * step;
}

static shape nearly(shape s) {
  s.M = nearly(s.M), s.N = nearly(s.N), s.K = nearly(s.K);
  return s;
}

static std::string key_of(const shape &s) {
  static const char *const operands[] = {"f32", "bf16", "tf32"};
  char text[512];
  snprintf(text, sizeof text,
           "%s %c%c %s%s%s%s %" PRId64 "x%" PRId64 "x%" PRId64 " ld %" PRId64 ",%" PRId64 ",%" PRId64 " align %d",
           vbl_lt::identity(), s.ta ? 't' : 'n', s.tb ? 't' : 'n', operands[s.operands], s.result == BF16 ? "=bf16" : "",
           s.sum ? "+sum" : "", s.bias ? "+bias" : "", s.M, s.N, s.K, s.lda, s.ldb, s.ldc, s.alignment);
  return text;
}

enum { HEX = 16, WORDS = 8 };

// key TAB the eight words in hex NEWLINE. What another version or a torn write left is passed over: it is found again by timing.
static std::map<std::string, algorithm> *read_file(const char *path) {
  auto *known = new std::map<std::string, algorithm>;
  FILE *f = path[0] == '\0' ? nullptr : fopen(path, "r");
  char line[1024];
  while (f != nullptr && fgets(line, sizeof line, f) != nullptr) {
    char *tab = strchr(line, '\t');
    if (tab == nullptr || strlen(tab) != 1 + HEX * WORDS + 1 || tab[1 + HEX * WORDS] != '\n') continue;
    algorithm a;
    int read = 0;
    for (int i = 0; i < WORDS; i++) read += sscanf(tab + 1 + HEX * i, "%16" SCNx64, &a.words[i]);
    if (read == WORDS) (*known)[std::string(line, (size_t)(tab - line))] = a;
  }
  if (f != nullptr) fclose(f);
  return known;
}

// One write at the end of the file, so that processes that tune at once do not mix lines. A folder that cannot be written costs the next
// process the timing again and nothing else; `vbl doctor` says so.
static void append(const char *path, const std::string &key, const algorithm &a) {
  if (path[0] == '\0') return;
  char folder[PATH_MAX], line[1024];
  snprintf(folder, sizeof folder, "%s", path);
  for (char *at = strchr(folder + 1, '/'); at != nullptr; at = strchr(at + 1, '/')) {
    *at = '\0';
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) return;
    *at = '/';
  }
  int used = snprintf(line, sizeof line, "%s\t", key.c_str());
  for (uint64_t word : a.words) used += snprintf(line + used, sizeof line - (size_t)used, "%016" PRIx64, word);
  line[used++] = '\n';
  const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return;
  const ssize_t written = write(fd, line, (size_t)used);
  (void)written;
  close(fd);
}

// Timed on another output: beta C would add up. Where there is no memory for it, the first offer is taken.
static algorithm fastest(const shape &s, operands o, const algorithm *offers, int n, void *stream) {
  const int64_t n_other = (s.M - 1) * s.ldc + s.N;
  void *other = vbl_cuda_alloc((size_t)n_other * sizeof(float));  // bf16 takes half
  if (other == nullptr) return offers[0];
  o.C = other;
  vbl_cuda_fill(VBL_F32, other, n_other, 0, stream);
  vbl_cuda::quiet();
  int best = 0;
  double least = -1;
  for (int i = 0; i < n; i++) {
    const double t = vbl_lt::seconds(s, o, offers[i], stream);
    if (t >= 0 && (least < 0 || t < least)) best = i, least = t;
  }
  vbl_cuda_free(other, 0);
  return offers[best];
}

// The library's first offer for a shape, by key; false: it has none.
static bool first_offer(const shape &s, const std::string &key, algorithm *out) {
  static std::map<std::string, algorithm> *known = new std::map<std::string, algorithm>;
  algorithm offers[vbl_lt::MOST];
  const auto at = known->find(key);
  if (at != known->end()) return *out = at->second, true;
  if (vbl_lt::candidates(s, offers) == 0) return false;
  *out = (*known)[key] = offers[0];
  return true;
}

enum choice { NONE, FOR_NOW, FOR_GOOD };

static choice choose(const shape &s, const operands &o, void *stream, algorithm *out) {
  static std::map<std::string, algorithm> *known = read_file(cache_file());
  static std::set<std::string> *used = new std::set<std::string>;   // what the library loads for it is there
  static std::set<std::string> *timed = new std::set<std::string>;  // by this process
  const std::string key = key_of(nearly(s));
  if (used->insert(key).second) vbl_cuda::uncapture("new sizes of a product");
  if (vbl_cuda::deterministic()) return first_offer(s, key_of(s), out) ? FOR_GOOD : NONE;
  const auto at = known->find(key);
  if (at != known->end() && vbl_lt::accepts(s, at->second)) return *out = at->second, FOR_GOOD;
  if (timed->count(key) > 0)
    return first_offer(s, key_of(s), out) ? FOR_GOOD : NONE;  // it was for nearly these sizes, not for these
  algorithm offers[vbl_lt::MOST];
  const int n = vbl_lt::candidates(s, offers);
  if (n == 0) return NONE;
  *out = offers[0];
  if (vbl_lt::capturing(stream)) return FOR_NOW;
  if (n > 1 && cache_file()[0] != '\0') *out = fastest(s, o, offers, n, stream), append(cache_file(), key, *out);
  (*known)[key] = *out;
  timed->insert(key);
  return FOR_GOOD;
}

// Choosing takes some microseconds, and a step has thousands of products: what was chosen for a shape is looked up by its numbers.
static bool chosen(const shape &s, const operands &o, void *stream, algorithm *out) {
  typedef std::tuple<int, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int> exact;
  enum { MOST = 1 << 16 };
  static std::map<exact, algorithm> *made = new std::map<exact, algorithm>;
  static std::mutex lock;
  const int form = s.ta | s.tb << 1 | s.sum << 2 | s.bias << 3 | s.operands << 4 | s.result << 6 | vbl_cuda::deterministic() << 8;
  const exact key(form, s.M, s.N, s.K, s.lda, s.ldb, s.ldc, s.alignment);
  std::lock_guard<std::mutex> hold(lock);
  const auto at = made->find(key);
  if (at != made->end()) return *out = at->second, true;
  const choice c = choose(s, o, stream, out);
  if (made->size() == MOST) made->clear();
  if (c == FOR_GOOD) (*made)[key] = *out;
  return c != NONE;
}

static void tell_refused(const char *what) {
  static std::atomic<bool> told;
  if (!told.exchange(true))
    fprintf(stderr, "vbl: cuBLASLt takes no product of %s: a slow kernel of vbl's own does it (told once)\n", what);
}

static const char *by_hand(const shape &s, const operands &o, void *stream) {
  tell_refused(key_of(s).c_str());
  plain(s, o, stream);
  return nullptr;
}

const char *run(const shape &s, const operands &o, void *stream) {
  algorithm a;
  if (!chosen(s, o, stream, &a)) return by_hand(s, o, stream);
  const char *failure = vbl_lt::run(s, o, a, stream);
  return failure == vbl_lt::REFUSED ? by_hand(s, o, stream) : failure;
}

// A map of measures makes hundreds of products of a few sizes, and the library takes as long to name an algorithm as to multiply.
static bool offered(const batch &b, algorithm *out) {
  typedef std::tuple<bool, int64_t, int64_t, int64_t, int64_t> sizes;
  enum { MOST = 1 << 12 };
  static std::map<sizes, algorithm> *known = new std::map<sizes, algorithm>;
  static std::mutex lock;
  const sizes key(b.outer, b.M, b.N, b.K, b.count);
  std::lock_guard<std::mutex> hold(lock);
  const auto at = known->find(key);
  if (at != known->end()) return *out = at->second, true;
  if (!vbl_lt::offers(b, out)) return false;
  if (known->size() == MOST) known->clear();
  return (*known)[key] = *out, true;
}

const char *run(const batch &b, void *stream) {
  algorithm a;
  const char *failure = offered(b, &a) ? vbl_lt::run(b, a, stream) : vbl_lt::REFUSED;
  if (failure == vbl_lt::REFUSED) tell_refused("f64 matrices in a batch");
  return failure;
}

}  // namespace vbl_product
