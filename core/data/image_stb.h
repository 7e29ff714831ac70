// stb_image and the memory that it is refused, which it does not tell from damaged data. Inside core/data only.
// defines: vbl_stb_refused
#pragma once
#include <stdbool.h>

#define STBI_NO_STDIO
#include <stb/stb_image.h>

// Whether this thread was refused memory for stb_image since it was last asked.
bool vbl_stb_refused(void);
