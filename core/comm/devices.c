#include "core/comm/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/comm/comm.h"

static struct {
  const vbl_backend *backend;  // whose devices have tried to join; NULL: none yet
  bool joined;
  vbl_error why;  // they are not
} devices;

// Whether no rank has failed so far; the words of one that has are all ranks' then.
static vbl_status agreed(bool *well, vbl_error *err) {
  double failed = !*well;
  void *text = devices.why.message;
  VBL_TRY(vbl_comm_max(&failed, 1, err));
  *well = failed == 0;
  if (*well) return VBL_OK;
  int64_t *counts = calloc((size_t)vbl_comm_size(), sizeof *counts);
  char *all = NULL;
  if (counts == NULL) return vbl_fail(err, VBL_ENOMEM, "ranks: no memory for %d sizes", vbl_comm_size());
  vbl_status status = vbl_comm_gather(text, (int64_t)strlen(text), (void **)&all, counts, err);
  const char *at = all;
  for (int i = 0; status == VBL_OK && i < vbl_comm_size(); at += counts[i++])
    if (counts[i] > 0) {
      snprintf(devices.why.message, sizeof devices.why.message, "%.*s", (int)counts[i], at);
      break;
    }
  if (status == VBL_OK) free(all);
  free(counts);
  return status;
}

static vbl_status join_devices(const vbl_backend *b, vbl_error *err) {
  char made[VBL_RANKS_ID] = {0};
  void *id = made;
  int64_t bytes = sizeof made;
  const bool first = vbl_comm_rank() == 0;
  devices.why.message[0] = '\0';
  if (b->ranks_id == NULL) vbl_fail(&devices.why, VBL_EDEVICE, "%s has no sums over processes", b->name);
  bool well = b->ranks_id != NULL && b->ranks_id(first ? made : NULL, &devices.why) == VBL_OK;
  VBL_TRY(agreed(&well, err));
  if (!well) return VBL_OK;
  VBL_TRY(vbl_comm_broadcast(&id, &bytes, err));
  well = b->join_ranks(id, vbl_comm_rank(), vbl_comm_size(), &devices.why) == VBL_OK;
  if (id != made) free(id);
  VBL_TRY(agreed(&well, err));
  devices.joined = well;
  return VBL_OK;
}

vbl_status vbl_comm_devices(const vbl_backend *b, bool *yes, vbl_error *err) {
  if (devices.backend != b) {
    devices.joined = false;
    VBL_TRY(join_devices(b, err));
    devices.backend = b;
  }
  *yes = devices.joined;
  return VBL_OK;
}

const char *vbl_comm_by_host(void) { return devices.backend == NULL || devices.joined ? NULL : devices.why.message; }
