/* Where the program reeve-manager is. */
#include "workers/manager/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NAME "reeve-manager"

/* What the Makefile says: where `make install` puts it. */
#ifndef REEVE_BINDIR
#define REEVE_BINDIR "/usr/bin"
#endif

int keeper_program(const char *program, char ret_path[static PATH_MAX])
{
	const char *directory = secure_getenv("REEVE_LIBEXECDIR");
	char path[PATH_MAX];
	int n;

	if (program)
		n = snprintf(path, sizeof(path), "%s", program);
	else
		n = snprintf(path, sizeof(path), "%s/" NAME,
			     directory ? directory : REEVE_BINDIR);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	if (access(path, X_OK) < 0)
		return -ENOENT;
	(void)snprintf(ret_path, PATH_MAX, "%s", path);
	return 0;
}
