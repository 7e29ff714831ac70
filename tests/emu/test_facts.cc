// What vbl says of a machine on which a GPU cannot be used: one sentence each, with what to do.
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/facts.h"

using namespace vbl_cuda;

static int failures;

static void expect(const char *sentence, const facts &f, int device) {
  char message[512] = "";
  const bool good = usable(f, device, message, sizeof message);
  if (good == (sentence == nullptr) && (good || strcmp(message, sentence) == 0)) return;
  failures++;
  fprintf(stderr, "expected: %s\ngot:      %s\n", sentence != nullptr ? sentence : "(usable)", good ? "(usable)" : message);
}

int main() {
  const size_t MiB = 1 << 20;
  facts f = {13000, 13000, false, 2, "", "NVIDIA H200", 9, 0, 140000 * MiB, 143771 * MiB};
  expect(nullptr, f, 0);
  expect(nullptr, f, 1);
  expect("cuda:2: there are 2 devices, from 0", f, 2);
  f.count = 1;
  expect("cuda:1: there is 1 device, from 0", f, 1);
  f.free = 310 * MiB;
  expect("cuda:0: 310 of its 143771 MiB are free and vbl needs at least 1024: end what holds the rest (nvidia-smi lists it)", f, 0);
  strcpy(f.error, "device busy");
  expect("cuda:0: device busy", f, 0);
  f = {13000, 13000, false, 1, "", "Tesla V100", 7, 0, 16000 * MiB, 16384 * MiB};
  expect("cuda:0: Tesla V100 has compute capability 7.0; 8.0 (Ampere) or newer is needed", f, 0);
  f = {13000, 13000, false, 0, "no CUDA-capable device is detected", "", 0, 0, 0, 0};
  expect("no NVIDIA GPU is visible (no CUDA-capable device is detected; CUDA_VISIBLE_DEVICES?)", f, 0);
  f = {12040, 13000, true, 0, "", "", 0, 0, 0, 0};
  expect("the NVIDIA driver is for CUDA 12.4 and this vbl needs 13.0: install a newer driver", f, 0);
  f.driver = 0;
  expect("no NVIDIA driver is installed (nvidia-smi shows it)", f, 0);
  printf("what is said of GPUs: %s\n", failures == 0 ? "ok" : "FAILED");
  return failures > 0;
}
