// The record of what would survive a power cut: durable.c writes it, power_cut.c reads it.
#pragma once

// Puts the file's bytes or the folder's names, as they are now, into the folder `to`.
void durable_record(const char *path, const char *to);
