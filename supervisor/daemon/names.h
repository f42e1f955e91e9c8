/* What user and group names mean, asked by a helper process.
 *
 * NSS may hang (LDAP, NFS); the event loop must not. The helper loads the
 * configuration with a resolver that asks NSS and writes each answer to a
 * pipe; the daemon then loads it with names_resolver(), which knows these
 * answers and nothing else.
 */
#pragma once

#include <stddef.h>

#include "conf/conf.h"
#include "workers/base/pure/buf.h"

#define NAMES_MAX_BYTES (4U << 20)

/* Runs in the helper: loads path, writes the answers to fd. Returns its exit
 * code. */
int names_helper(const char *path, bool ignore_unsupported, int fd);

/* The answers, as text from the helper's pipe. */
struct names {
	struct buf text;
};

/* A resolver over names (kept, not copied). Unknown names give -EAGAIN: the
 * file changed between the helper's look and ours. */
struct conf_resolver names_resolver(struct names *names);
