/* See program.h. */
#include "workers/base/sys/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The Makefile says where. */
#ifndef REEVE_LIBEXECDIR
#define REEVE_LIBEXECDIR "/usr/libexec/reeve"
#endif

int program_find(const char *given, const char *name,
		 char ret_path[static PATH_MAX])
{
	const char *directory = secure_getenv("REEVE_LIBEXECDIR");
	char path[PATH_MAX];
	int n;

	if (given)
		n = snprintf(path, sizeof(path), "%s", given);
	else
		n = snprintf(path, sizeof(path), "%s/%s",
			     directory ? directory : REEVE_LIBEXECDIR, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	if (access(path, X_OK) < 0)
		return -ENOENT;
	memcpy(ret_path, path, (size_t)n + 1);
	return 0;
}
