// The two matrices of a layer on a device that products are made of. Inside core/measure only.
// defines: vbl_device_centred, vbl_device_vectors
#pragma once
#include "core/measure/device.h"
#include "kernels/measure.h"

static inline vbl_features vbl_device_centred(const vbl_prepared *p) {
  return (vbl_features){.x = vbl_tensor_data(p->device->rows), .mean = p->device->mean, .ld = p->d};
}

// The left singular vectors; vbl_device_svd has made them.
static inline vbl_features vbl_device_vectors(const vbl_prepared *p) {
  return (vbl_features){.x = p->device->u, .ld = p->device->svd->columns, .wide = true};
}
