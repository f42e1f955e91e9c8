/* Which workers a name on the command line means. Pure.
 *
 * "all" or "*": everyone. "web:*" or a group or section name: its processes.
 * "web:1", "mail": that one; also "web:web_1" as supervisorctl writes it.
 * Anything with * ? [: a glob over the full names, \ keeping a letter plain.
 *
 * A name is compared as it stands before it is taken for a glob: a worker
 * called "a[1]" is found by its name.
 */
#pragma once

#include <stdbool.h>

/* full_name "web:0", group "web", section (program) "web". Bytes are compared:
 * case matters. */
bool select_matches(const char *pattern, const char *full_name,
		    const char *group, const char *section);

/* True when pattern names one exact thing and so must exist: a process, a
 * section or a group, with or without ":*". */
bool select_is_exact(const char *pattern);
