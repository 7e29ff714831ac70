// libvbl_faults.so, for LD_PRELOAD: counts the calls of a process by class, and makes chosen ones fail, or kills the process there.
// Environment:
//   VBL_FAULTS_STATE    a file that all processes of the run share: counts and what was done (fault_state); made when missing
//   VBL_FAULTS_PROGRAM  only processes of this executable count; others (gnuplot, a shell) are left alone
//   VBL_FAULTS          CLASS:FIRST:COUNT:ACTION    the calls FIRST .. FIRST + COUNT - 1 (from 1; COUNT 0: all from FIRST on) of the class
//     ACTION  ENOSPC, EIO, ...  they fail so                SHORT  they read or write half of it
//             LOST     they are done and yet fail with ENOENT or EEXIST, as over NFS when a server's answer was lost and the request sent again
//             BACK     the clock is an hour earlier from then on
//             COLLECT  (class lua) each COUNT-th request for memory is refused once: Lua collects all garbage and asks again
//             SITES    nothing: the first and the last call from each place of the program are noted (fault_state.site)
//             KILL, TERM, INT   the process gets the signal; CUT: every process of the run is gone at once
//   VBL_FAULTS_CALLER   "program": of the classes memory and map only what the executable itself asks for, not its libraries
//   VBL_FAULTS_DURABLE  FOLDER:SHADOW    what a disk would have of FOLDER is kept in SHADOW (durable.c)
// Counting begins with main(). Writes to standard error never fail: it is the witness.
// defines: fault_class, fault_state, fault_hit, fault_device, fault_from_lua, fault_clock_offset, fault_inside, NEXT, durable_begin, durable_synced
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fault_class {
  FAULT_MEMORY,
  FAULT_LUA,  // requests of liblua for new or more memory
  FAULT_MAP,
  FAULT_OPEN,
  FAULT_CREATE,  // opens that may write
  FAULT_READ,
  FAULT_WRITE,
  FAULT_SYNC,
  FAULT_CLOSE,
  FAULT_RENAME,  // and link, symlink
  FAULT_MKDIR,
  FAULT_UNLINK,  // and rmdir
  FAULT_LOCK,
  FAULT_THREAD,
  FAULT_PROCESS,
  FAULT_CLOCK,
  FAULT_DEVICE,  // what the emulated CUDA device is asked for: memory, pinned memory, streams, events, graphs
  FAULT_ANY,
  FAULT_CLASSES
} fault_class;

enum { FAULT_SITES = 4096 };

typedef struct fault_state {
  _Atomic uint64_t count[FAULT_CLASSES];
  _Atomic uint32_t fired, cut;
  _Atomic uint32_t sites;
  uint32_t reserved;
  uint64_t site[FAULT_SITES][2];  // numbers of the first and of the last call from there
  char note[1024];                // of the first that was done: "write(5) /path by vbl+0x1234 ..."
  _Atomic int32_t root;  // the process that the run began with, and, a line each, what its descriptors led to when it ended
  char open[2044];
} fault_state;

enum { FAULT_SHORT = -1, FAULT_LOST = -2 };

// Counts a call. 0: it goes on; an errno; FAULT_SHORT, FAULT_LOST. path may be NULL, then fd is named.
int fault_hit(fault_class c, const void *caller, const char *call, const char *path, int fd);
int fault_device(const char *call);  // the emulation asks it by name; not 0: refused
bool fault_from_lua(const void *caller);
int64_t fault_clock_offset(void);  // seconds
void *fault_next(void **slot, const char *name);

// Calls that the library itself makes are not counted.
extern __thread int fault_inside __attribute__((tls_model("initial-exec")));

void durable_begin(void);
void durable_synced(int fd);  // fsync of it has succeeded

// The function of that name that would have been called without this library.
#define NEXT(name)                                \
  ({                                              \
    static void *slot_;                           \
    (__typeof__(&name))fault_next(&slot_, #name); \
  })
