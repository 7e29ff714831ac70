// A small HTTP server on 127.0.0.1 for tests of downloads: it serves images and everything that can go wrong, one thread a connection.
//   /img/N         a PNG of its own for each N     /same/N  one PNG for all     /jpeg   a JPEG of 8 x 8
//   /status/CODE   that status, with a page        /flaky/N 503 and Retry-After once for each N, then /img/N     /busy  429 always
//   /redirect/N    302 to /img/N     /loop  302 to itself     /chain/K  K redirects to /img/1     /file  302 to file:///etc/passwd
//   /page  HTML    /gif  a GIF     /empty  no bytes    /broken  a PNG's head and noise     /cut  fewer bytes than it says
//   /endless  a PNG's head and zeros without end      /large  a Content-Length of 10^12     /stall  a few bytes, then silence     /never  silence
// defines: server_start, server_port, server_images, server_delay_ms, server_connections
#pragma once
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/png.h"

static int server_port, server_socket = -1;
static atomic_int server_images;             // images sent so far
static atomic_int server_open, server_most;  // images in the making now; the most at once
static atomic_int server_delay_ms;           // before each image
static atomic_uchar server_flaked[4096];

static void server_text(int fd, const char *text) { send(fd, text, strlen(text), MSG_NOSIGNAL); }

static void server_body(int fd, const char *type, const void *data, size_t n) {
  char head[200];
  snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", type, n);
  server_text(fd, head);
  send(fd, data, n, MSG_NOSIGNAL);
}

static void server_image(int fd, int number) {
  uint8_t rows[20 * 12 * 3], file[4000];
  for (size_t i = 0; i < sizeof rows; i++) rows[i] = (uint8_t)(i * (size_t)(number + 3) + (size_t)(number >> 3));
  int open = atomic_fetch_add(&server_open, 1) + 1, most = atomic_load(&server_most);
  while (open > most && !atomic_compare_exchange_weak(&server_most, &most, open)) continue;
  usleep((unsigned)atomic_load(&server_delay_ms) * 1000);
  atomic_fetch_sub(&server_open, 1);                         // before the answer, after which the client may come again
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;  // png() has one buffer for all
  pthread_mutex_lock(&mutex);
  size_t n = png(20, 12, 8, 2, rows, file);
  pthread_mutex_unlock(&mutex);
  server_body(fd, "image/png", file, n);
  atomic_fetch_add(&server_images, 1);
}

// An 8 x 8 gray baseline JPEG of one block.
static size_t server_jpeg(uint8_t *out) {
  uint8_t *o = out;
  static const uint8_t start[] = {0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0}, frame[] = {0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0},
                       rest[] = {0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x3F, 0xFF, 0xD9};
  memcpy(o, start, sizeof start), o += sizeof start;
  memset(o, 1, 64), o += 64;
  memcpy(o, frame, sizeof frame), o += sizeof frame;
  for (int table = 0; table < 2; table++) {
    uint8_t dht[22] = {0xFF, 0xC4, 0, 20, (uint8_t)(table << 4), 1};
    memcpy(o, dht, sizeof dht), o += sizeof dht;
  }
  memcpy(o, rest, sizeof rest), o += sizeof rest;
  return (size_t)(o - out);
}

static void server_redirect(int fd, const char *to) {
  char head[300];
  snprintf(head, sizeof head, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", to);
  server_text(fd, head);
}

static void server_status(int fd, int code, const char *more) {
  char head[300];
  snprintf(head, sizeof head, "HTTP/1.1 %d No\r\n%sContent-Length: 9\r\nConnection: close\r\n\r\n<p>no</p>", code, more);
  server_text(fd, head);
}

// Until the other side hangs up.
static void server_silence(int fd) {
  char byte;
  while (recv(fd, &byte, 1, 0) > 0) continue;
}

static void server_endless(int fd) {
  static const uint8_t head[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  static const uint8_t zeros[4096];
  server_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n");
  send(fd, head, sizeof head, MSG_NOSIGNAL);
  while (send(fd, zeros, sizeof zeros, MSG_NOSIGNAL) > 0) continue;
}

static void server_answer(int fd, const char *path) {
  uint8_t file[1000] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  char to[64];
  int n = 0;
  if (sscanf(path, "/img/%d", &n) == 1) return server_image(fd, n);
  if (sscanf(path, "/same/%d", &n) == 1) return server_image(fd, 7);
  if (strcmp(path, "/jpeg") == 0) return server_body(fd, "image/jpeg", file, server_jpeg(file));
  if (sscanf(path, "/status/%d", &n) == 1) return server_status(fd, n, "");
  if (strcmp(path, "/busy") == 0) return server_status(fd, 429, "Retry-After: 0\r\n");
  if (sscanf(path, "/flaky/%d", &n) == 1)
    return atomic_exchange(&server_flaked[n % 4096], 1) ? server_image(fd, n) : server_status(fd, 503, "Retry-After: 1\r\n");
  if (sscanf(path, "/redirect/%d", &n) == 1) return snprintf(to, sizeof to, "/img/%d", n), server_redirect(fd, to);
  if (sscanf(path, "/chain/%d", &n) == 1)
    return n <= 1 ? server_redirect(fd, "/img/1") : (snprintf(to, sizeof to, "/chain/%d", n - 1), server_redirect(fd, to));
  if (strcmp(path, "/loop") == 0) return server_redirect(fd, "/loop");
  if (strcmp(path, "/file") == 0) return server_redirect(fd, "file:///etc/passwd");
  if (strcmp(path, "/page") == 0) return server_body(fd, "image/jpeg", "<html>not here any more</html>", 30);
  if (strcmp(path, "/gif") == 0) return server_body(fd, "image/gif", "GIF89a and so on", 16);
  if (strcmp(path, "/empty") == 0) return server_body(fd, "image/png", "", 0);
  if (strcmp(path, "/broken") == 0) return server_body(fd, "image/png", file, sizeof file);
  if (strcmp(path, "/endless") == 0) return server_endless(fd);
  if (strcmp(path, "/never") == 0) return server_silence(fd);
  if (strcmp(path, "/large") == 0)
    return server_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n\x89PNG"), server_silence(fd);
  if (strcmp(path, "/stall") == 0)
    return server_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n\x89PNG"), server_silence(fd);
  if (strcmp(path, "/cut") == 0) return server_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n\x89PNG\r\n");
  server_status(fd, 404, "");
}

static void *server_connection(void *argument) {
  int fd = (int)(intptr_t)argument;
  char request[4096] = {0}, path[1024];
  size_t got = 0;
  while (got < sizeof request - 1 && strstr(request, "\r\n\r\n") == NULL) {
    ssize_t n = recv(fd, request + got, sizeof request - 1 - got, 0);
    if (n <= 0) break;
    got += (size_t)n;
    if (request[0] != 'G') break;  // TLS, or no HTTP at all
  }
  if (sscanf(request, "GET %1023s", path) == 1)
    server_answer(fd, path);
  else
    server_status(fd, 400, "");
  shutdown(fd, SHUT_WR);
  close(fd);
  return NULL;
}

static void *server_run(void *argument) {
  (void)argument;
  for (int fd; (fd = accept(server_socket, NULL, NULL)) >= 0;) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, server_connection, (void *)(intptr_t)fd) == 0)
      pthread_detach(thread);
    else
      close(fd);
  }
  return NULL;
}

// Listens on a port of the system's choice; false where that is not possible.
static bool server_start(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  pthread_t thread;
  server_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server_socket < 0 || bind(server_socket, (struct sockaddr *)&address, size) != 0 || listen(server_socket, 128) != 0 ||
      getsockname(server_socket, (struct sockaddr *)&address, &size) != 0)
    return false;
  server_port = ntohs(address.sin_port);
  return pthread_create(&thread, NULL, server_run, NULL) == 0;
}
