// What tests see of the emulated cuBLASLt.
// defines: vbl_emu_products
#pragma once

struct vbl_emu_product_counts {
  int asked, timed, last;     // calls for offers, timings, the algorithm of the last product
  bool captured;              // set it to play a stream that is being captured
  bool offers_none, refuses;  // set them to play a library that has no algorithm for a shape, or says so when it is to multiply
};
extern vbl_emu_product_counts vbl_emu_products;
