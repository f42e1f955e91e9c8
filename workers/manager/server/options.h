/* The command line of reeve-manager: one table, from which it is read and shown. */
#pragma once

#include "workers/manager/keeper.h"

struct options {
	struct keeper_order order; /* the key not read yet */
	const char *authkey_file;
	bool is_inherited; /* all else comes from KEEPER_FD_ORDER */
};

/* Returns -1 to go on, else the exit code, said. */
int options_parse(int argc, char **argv, struct options *ret_options);

/* Reads the key: the file's bytes without a newline at the end. Others may not read
 * it. Returns 0 or -errno, said. */
int options_read_authkey(struct options *options);
