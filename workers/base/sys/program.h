/* Where programs of our own are, that the library executes.
 *
 * Operation
 *   The one that the caller names; else the one in the directory that the
 *   environment variable REEVE_LIBEXECDIR names (not in a set-user-ID program);
 *   else where `make install` has put it.
 */
#pragma once

#include <limits.h>

/* Returns 0; -ENOENT (none that may be executed), -ENAMETOOLONG. */
int program_find(const char *given, const char *name,
		 char ret_path[static PATH_MAX]);
