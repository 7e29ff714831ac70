// The prompt's history in its file.
#pragma once
#include <histedit.h>
#include <stdbool.h>

// Takes the newest `lines` lines of the file into h; a file of twice as many is cut down to them. No file, or another kind of file: nothing.
void vbl_history_load(History *h, int lines, const char *path);
// Adds a line behind what is in the file. False with errno; EINVAL: it is no file of this kind, and was left as it is.
bool vbl_history_append(const char *path, const char *line);
