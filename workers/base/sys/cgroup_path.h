/* Where a cgroup is: its path in the hierarchy, and where that is mounted;
 * private to cgroup.c and to tests.
 *
 * /proc/PID/cgroup names a cgroup ("0::/a/b") from the root of our cgroup
 * namespace; a line of mountinfo tells which part of the hierarchy (field 4:
 * "/a" when only that was bound) is to be seen at which mount point.
 */
#pragma once

#include <stdbool.h>

/* The cgroup v2 path of a process ("self" or digits) in a new string (free
 * it). Returns 0, -ESRCH (no such process), -ENOENT (not in cgroup v2). */
int cgroup_path_read(const char *pid, char **ret_group);

/* Reads a line of mountinfo, which it cuts to pieces; the results point into
 * it. False when it is not a cgroup2 mount. */
bool cgroup_path_parse_mount(char *line, char **ret_root, char **ret_point);

/* What of group is below root: "" or "/..."; NULL when it is elsewhere. */
const char *cgroup_path_below(const char *group, const char *root);

/* path/name in a new string (free it), or NULL without memory. */
char *cgroup_path_join(const char *path, const char *name);
