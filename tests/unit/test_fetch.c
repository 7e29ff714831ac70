// Downloads from a server of the test's own on 127.0.0.1: what each answer becomes, the shard's form, limits, kills, resume, Ctrl-C.
// With arguments it is the downloader that the test kills: test_fetch TSV OUT.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/base/interrupt.h"
#include "core/fetch/fetch.h"
#include "core/store/file.h"
#include "tests/check.h"
#include "tests/server.h"

static char folder[] = "/tmp/vbl-test-fetch-XXXXXX";

static vbl_fetch_options options_of(vbl_fetch_form form) {
  return (vbl_fetch_options){.form = form,
                             .resize = VBL_FETCH_BORDER,
                             .image = 16,
                             .shard = 40,
                             .parallel = 8,
                             .per_host = 8,
                             .threads = 2,
                             .retries = 1,
                             .redirects = 5,
                             .connect = 2,
                             .total = 3,
                             .stall = 1,
                             .backoff = 0.01,
                             .max_bytes = 100000};
}

static const char *at(const char *name) {
  static char path[8][300];
  static int next;
  next = (next + 1) % 8;
  snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
  return path[next];
}

static vbl_status fetch(const char *tsv, const char *out, const vbl_fetch_options *o, vbl_fetch_progress *p, vbl_error *err) {
  vbl_fetch *f;
  bool finished = false;
  vbl_status status = vbl_fetch_new(tsv, out, o, &f, err);
  while (status == VBL_OK && !finished) status = vbl_fetch_step(f, 0.1, &finished, p, err);
  vbl_fetch_free(f);
  return status;
}

// What the status line of `row` (from 1) holds, in a buffer of its own.
static const char *line_of(const char *out, int row) {
  static char line[2000];
  char path[400], start[32];
  snprintf(path, sizeof path, "%s/status.tsv", out);
  snprintf(start, sizeof start, "%d\t", row);
  FILE *f = fopen(path, "r");
  line[0] = 0;
  while (f != NULL && fgets(line, sizeof line, f) != NULL && strncmp(line, start, strlen(start)) != 0) line[0] = 0;
  if (f != NULL) fclose(f);
  return line;
}

static const struct {
  const char *path, *expected;
} cases[] = {{"/img/1", "\tsuccess\t\t200\t"},
             {"/same/1", "\tsuccess\t"},
             {"/same/2", "\tsuccess\t"},
             {"/jpeg", "\tsuccess\t\t200\t141\t16\t16\t8\t8\t"},
             {"/status/404", "\thttp_error\tHTTP 404\t404\t0\t"},
             {"/status/500", "\thttp_error\tHTTP 500\t500\t"},
             {"/busy", "\thttp_error\tHTTP 429\t429\t"},
             {"/flaky/5", "\tsuccess\t"},
             {"/redirect/9", "\tsuccess\t"},
             {"/chain/5", "\tsuccess\t"},
             {"/chain/6", "\tredirects\t"},
             {"/loop", "\tredirects\tmore than redirects allows\t302\t"},
             {"/file", "\terror\tUnsupported protocol\t302\t"},
             {"/page", "\tnot_an_image\tneither JPEG nor PNG (a web page?)\t200\t"},
             {"/gif", "\tnot_an_image\tneither JPEG nor PNG\t"},
             {"/empty", "\tnot_an_image\tan empty file (0 bytes)\t"},
             {"/broken", "\tnot_an_image\ta damaged PNG"},
             {"/cut", "\tbroken_off\t"},
             {"/endless", "\ttoo_large\tmore bytes than max_bytes\t"},
             {"/large", "\ttoo_large\tmore bytes than max_bytes\t"},
             {"/stall", "\tstalled\tless than 1,000 bytes a second\t"},
             {"/never", "\t0\t"}};  // stalled or timed out: both limits fit
enum { CASES = sizeof cases / sizeof *cases };

static void write_cases(const char *tsv) {
  FILE *f = fopen(tsv, "w");
  for (int i = 0; i < CASES; i++) fprintf(f, "\"caption %d, quoted\thttp://127.0.0.1:%d%s\n", i + 1, server_port, cases[i].path);
  fprintf(f, "no tab here\n");
  fprintf(f, "a file\tfile:///etc/passwd\n");
  fprintf(f, "bytes \xFF\xFE\thttp://127.0.0.1:%d/img/2\n", server_port);
  fprintf(f, "closed\thttp://127.0.0.1:1/img/2\n");
  fprintf(f, "plain text where TLS is expected\thttps://127.0.0.1:%d/img/2\n", server_port);
  fprintf(f, "the last, without a line end\thttp://127.0.0.1:%d/img/3", server_port);
  fclose(f);
}

static bool shell(const char *format, const char *a, const char *b) {
  char command[1000];
  snprintf(command, sizeof command, format, a, b);
  return system(command) == 0;
}

static void test_answers(void) {
  vbl_error err = {0};
  vbl_fetch_progress p;
  vbl_fetch_options o = options_of(VBL_FETCH_WEBDATASET);
  const char *tsv = at("cases.tsv"), *out = at("cases");
  static const char *const rest[] = {"\tbad_row\tno tab in the line\t",
                                     "\tbad_row\tthe URL is not http or https\t",
                                     "\tbad_row\tthe caption is not UTF-8\t",
                                     "\tno_connection\t",
                                     "\ttls\t",
                                     "\tsuccess\t"};
  write_cases(tsv);
  CHECK_OK(fetch(tsv, out, &o, &p, &err), err);
  CHECK(p.done == CASES + 6 && p.good == 8);
  for (int i = 0; i < CASES + 6; i++) {
    const char *line = line_of(out, i + 1), *expected = i < CASES ? cases[i].expected : rest[i - CASES];
    if (strstr(line, expected) == NULL) CHECK_STR(line, expected);
    CHECK(strstr(line, i < CASES ? cases[i].path : "") != NULL);
  }
  // The shard: nine digits, gaps where rows failed, members in img2dataset's order, as tar(1) reads them.
  CHECK(
      shell("cd %s && tar tf 00000.tar >list && head -3 list | tr '\\n' ' ' | grep -qx '000000000.jpg 000000000.json 000000000.txt "
            "' && %s",
            out, "! grep -q 000000004 list && grep -qx 000000027.txt list && test $(wc -l <list) = 24"));
  CHECK(shell(
      "cd %s && tar xf 00000.tar && printf '\"caption 1, quoted' | cmp - 000000000.txt && %s", out,
      "grep -q '\"caption\": \"\\\\\"caption 1, quoted\",' 000000000.json && grep -q '\"original_width\": 20,' 000000000.json"));
  CHECK(!shell("test -e %s/.work%s", out, ""));
  // The thesis's names collided; two rows of one image have one content and two keys.
  char sha[80] = {0};
  sscanf(strstr(line_of(out, 2), "\t20\t12\t") + 7, "%70s", sha);
  CHECK(strstr(line_of(out, 3), sha) != NULL && strstr(line_of(out, 1), sha) == NULL);
  // Again: nothing is asked for.
  int before = atomic_load(&server_images);
  CHECK_OK(fetch(tsv, out, &o, &p, &err), err);
  CHECK(atomic_load(&server_images) == before);
}

static void test_files(void) {
  vbl_error err = {0};
  vbl_fetch_progress p;
  vbl_fetch_options o = options_of(VBL_FETCH_FILES);
  o.resize = VBL_FETCH_NO;
  o.columns = VBL_FETCH_CC12M;
  FILE *f = fopen(at("files.tsv"), "w");
  for (int i = 0; i < 6; i++)
    fprintf(f, "http://127.0.0.1:%d/%s/%d/1.png\tcaption %d\n", server_port, i < 3 ? "same" : "img", i, i);
  fclose(f);
  CHECK_OK(fetch(at("files.tsv"), at("files"), &o, &p, &err), err);
  CHECK(p.good == 6);
  // Three rows share one content, hence one file; its bytes are those that were sent, and its name is their hash.
  CHECK(shell("cd %s && test $(find images -type f | wc -l) = 4 && test $(wc -l <captions.tsv) = 6 && %s", at("files"),
              "for f in $(find images -type f); do echo \"$(basename $f .png)  $f\"; done | sha256sum --quiet -c"));
  CHECK(shell("cd %s && cut -f1 captions.tsv | xargs ls >/dev/null%s", at("files"), ""));
}

static void test_refusals(void) {
  vbl_error err = {0};
  vbl_fetch_progress p;
  vbl_fetch_options o = options_of(VBL_FETCH_WEBDATASET);
  CHECK(fetch(at("nothing.tsv"), at("x"), &o, &p, &err) == VBL_EIO && strstr(err.message, "nothing.tsv") != NULL);
  fclose(fopen(at("empty.tsv"), "w"));
  CHECK(fetch(at("empty.tsv"), at("x"), &o, &p, &err) == VBL_EIO && strstr(err.message, "no rows in it") != NULL);
  o.image = 32;
  CHECK(fetch(at("cases.tsv"), at("cases"), &o, &p, &err) == VBL_EINVAL &&
        strstr(err.message, "begun with another TSV or other options") != NULL);
  CHECK(fetch(at("cases.tsv"), folder, &o, &p, &err) == VBL_EINVAL && strstr(err.message, "is not empty") != NULL);
  o.parallel = 0;
  CHECK(fetch(at("cases.tsv"), at("y"), &o, &p, &err) == VBL_EINVAL &&
        strstr(err.message, "parallel = 0; expected 1 to 1000") != NULL);
}

// A certificate that nobody vouches for is refused, and taken when it is trusted: openssl(1) serves an image from the folder.
static void test_tls(void) {
  vbl_error err = {0};
  vbl_fetch_progress p;
  vbl_fetch_options o = options_of(VBL_FETCH_WEBDATASET);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  char port[16];
  uint8_t rows[20 * 12 * 3] = {1}, file[4000];
  if (!shell(
          "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 %s",
          folder, "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 2>/dev/null")) {
    printf("  certificates: not tested, no openssl(1) here\n");
    return;
  }
  FILE *f = fopen(at("a.png"), "wb");
  fwrite(file, 1, png(20, 12, 8, 2, rows, file), f);
  fclose(f);
  int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);  // a free port
  CHECK(bind(s, (struct sockaddr *)&address, size) == 0 && getsockname(s, (struct sockaddr *)&address, &size) == 0);
  close(s);
  snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
  pid_t pid = fork();
  if (pid == 0) {
    if (chdir(folder) != 0 || freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL) _exit(127);
    execlp("openssl", "openssl", "s_server", "-accept", port, "-cert", "cert.pem", "-key", "key.pem", "-WWW", (char *)NULL);
    _exit(127);
  }
  f = fopen(at("tls.tsv"), "w");
  fprintf(f, "caption\thttps://127.0.0.1:%s/a.png\n", port);
  fclose(f);
  o.retries = 8;  // until the server listens
  CHECK_OK(fetch(at("tls.tsv"), at("untrusted"), &o, &p, &err), err);
  CHECK(strstr(line_of(at("untrusted"), 1), "\ttls\t") != NULL);
  o.ca = at("cert.pem");
  CHECK_OK(fetch(at("tls.tsv"), at("trusted"), &o, &p, &err), err);
  CHECK(strstr(line_of(at("trusted"), 1), "\tsuccess\t") != NULL);
  kill(pid, SIGTERM);
  waitpid(pid, NULL, 0);
}

static void write_many(const char *tsv, int rows) {
  FILE *f = fopen(tsv, "w");
  for (int i = 0; i < rows; i++)
    fprintf(f, "caption %d\thttp://127.0.0.1:%d/%s/%d\n", i, server_port,
            i % 11 == 3  ? "status/404/"
            : i % 7 == 2 ? "same"
                         : "img",
            i);
  fclose(f);
}

// At most per_host connections to one host, whatever parallel says.
static void test_limits(void) {
  vbl_error err = {0};
  vbl_fetch_progress p;
  vbl_fetch_options o = options_of(VBL_FETCH_WEBDATASET);
  o.per_host = 3;
  write_many(at("many.tsv"), 100);
  atomic_store(&server_most, 0);
  server_delay_ms = 5;
  CHECK_OK(fetch(at("many.tsv"), at("limits"), &o, &p, &err), err);
  CHECK(p.done == 100 && atomic_load(&server_most) <= 3 && atomic_load(&server_most) >= 2);
}

// No network: nothing is settled.
static void test_no_network(void) {
  vbl_error err = {0};
  vbl_fetch_progress p;
  vbl_fetch_options o = options_of(VBL_FETCH_WEBDATASET);
  FILE *f = fopen(at("dead.tsv"), "w");
  for (int i = 0; i < 400; i++) fprintf(f, "caption\thttp://127.0.0.1:1/%d\n", i);
  fclose(f);
  o.retries = 0;
  o.shard = 500;
  CHECK(fetch(at("dead.tsv"), at("dead"), &o, &p, &err) == VBL_EIO && strstr(err.message, "is there a network?") != NULL);
  CHECK(p.done == 0 && shell("test ! -s %s/.work/00000.journal%s", at("dead"), ""));
}

static pid_t start(const char *tsv, const char *out) {
  pid_t pid = fork();
  if (pid == 0) {
    execl("/proc/self/exe", "test_fetch", tsv, out, (char *)NULL);
    _exit(127);
  }
  return pid;
}

// Killed when the server has sent so many more images; then finished: as if nothing had happened.
static void test_kills(void) {
  int status;
  server_delay_ms = 4;
  write_many(at("kill.tsv"), 300);
  waitpid(start(at("kill.tsv"), at("undisturbed")), &status, 0);
  CHECK(status == 0);
  for (int k = 0; k < 2; k++) {
    int until = atomic_load(&server_images) + 60 + 40 * k;
    pid_t pid = start(at("kill.tsv"), at("killed"));
    while (atomic_load(&server_images) < until) usleep(500);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    CHECK(WIFSIGNALED(status));
    CHECK(access(at("killed/status.tsv"), F_OK) != 0);
  }
  int before = atomic_load(&server_images);
  waitpid(start(at("kill.tsv"), at("killed")), &status, 0);
  CHECK(status == 0);
  CHECK(atomic_load(&server_images) - before < 200);  // of 272: what was there is not asked for again
  CHECK(shell("diff -r %s %s", at("undisturbed"), at("killed")));
}

static void test_interrupt(void) {
  vbl_error err = {0};
  vbl_fetch_progress p;
  vbl_fetch_options o = options_of(VBL_FETCH_WEBDATASET);
  vbl_interrupt_request(SIGINT);
  CHECK(fetch(at("kill.tsv"), at("interrupted"), &o, &p, &err) == VBL_EINTERRUPT);
  vbl_interrupt_clear();
  CHECK_OK(fetch(at("kill.tsv"), at("interrupted"), &o, &p, &err), err);
  CHECK(shell("diff -r %s %s", at("undisturbed"), at("interrupted")));
}

int main(int argc, char **argv) {
  static const char *const proxies[] = {"http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"};
  vbl_error err = {0};
  vbl_fetch_progress p;
  for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++) unsetenv(proxies[i]);
  if (argc == 3) {
    vbl_fetch_options o = options_of(VBL_FETCH_WEBDATASET);
    if (fetch(argv[1], argv[2], &o, &p, &err) == VBL_OK) return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  if (mkdtemp(folder) == NULL || !server_start()) return check_skip("no server on 127.0.0.1 here");
  vbl_fetch_options o = options_of(VBL_FETCH_WEBDATASET);
  fclose(fopen(at("empty.tsv"), "w"));
  if (fetch(at("empty.tsv"), at("x"), &o, &p, &err) == VBL_EDEVICE) return check_skip(err.message);
  test_answers();
  test_files();
  test_refusals();
  test_tls();
  test_limits();
  test_no_network();
  test_kills();
  test_interrupt();
  shell("rm -r %s%s", folder, "");
  return check_done();
}
