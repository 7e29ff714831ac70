// Threads that make batches ahead of the step.
// defines: vbl_loader, vbl_loader_{new,submit,next,waiting,free}
#pragma once
#include "core/data/batch.h"

typedef struct vbl_loader vbl_loader;

// threads (1 to 256) work on at most `ahead` (>= 1) batches before they are taken. The source must outlive the loader; the
// view's list is copied.
vbl_status vbl_loader_new(const vbl_view *view, int threads, int ahead, vbl_loader **out, vbl_error *err);

// Queues a request (copied). Any number may wait: only the first `ahead` hold memory for images.
vbl_status vbl_loader_submit(vbl_loader *l, const vbl_request *request, vbl_error *err);

// The next batch in the order of submission; waits for it. End it with vbl_batch_free. VBL_EINVAL when nothing is queued;
// VBL_EINTERRUPT on Ctrl-C (the batch stays, the next call gets it); or the batch's own error (that batch is gone).
vbl_status vbl_loader_next(vbl_loader *l, vbl_bad_images *bad, vbl_batch *out, vbl_error *err);

int64_t vbl_loader_waiting(vbl_loader *l);  // submitted and not yet taken

// Stops after the items in work, joins the threads, drops what waits. NULL is allowed.
void vbl_loader_free(vbl_loader *l);
