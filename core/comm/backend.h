// What libvbl_mpi.so gives the program: messages between the processes ("ranks", from 0) that a launcher started together. One operation at a time; it is
// begun by every rank, and done where test() says so. Sizes fit an int: who asks cuts in pieces.
// defines: vbl_comm_backend, vbl_comm_word
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A rank's last word: how many operations it has begun, all of which others may still end, and why it begins no more.
typedef struct vbl_comm_word {
  int64_t operations;
  bool shown;  // whether it is what the rank prints too, and not its exit alone
  char text[900];
} vbl_comm_word;

typedef struct vbl_comm_backend {
  int rank, size;
  int local_rank, local_size;                      // among those of this machine
  void (*begin_sum)(void *data, int n, bool f64);  // f32 or f64, in place
  void (*begin_max)(double *data, int n);          // in place
  void (*begin_gather)(const void *mine, int bytes, void *all, const int *each,
                       const int *at);  // every rank's bytes, in the ranks' order
  void (*begin_broadcast)(void *data, int bytes, int root);
  bool (*test)(void);  // whether the operation that was begun is done here

  // Beside the operations: that a rank goes no further.
  void (*tell)(const vbl_comm_word *word);  // to all others; once
  int (*hear)(vbl_comm_word *word);         // the rank that one is from, each once; -1: there is none
  void (*begin_meeting)(void);              // of those that go no further
  bool (*met)(void);                        // all have begun it
  void (*end)(bool abort, int code);        // abort: operations are open, so all processes are ended
} vbl_comm_backend;

// Joins the other ranks. NULL, with the reason in `message`. The library exports it as vbl_mpi_open.
typedef void vbl_comm_describe_fn(char *text, size_t size);
typedef const vbl_comm_backend *vbl_comm_open_fn(char *message, size_t size);
