/* Leaves in a cgroup v2 tree: what makes "the whole tree is dead" certain.
 *
 * A base directory is found once: the caller's own cgroup, when it is cgroup
 * v2 (also the "unified" part of a hybrid layout), writable, and, under
 * systemd, delegated. In it one directory per supervisor (name), in that a
 * leaf per start. A leaf is used once: after cgroup.kill some kernels (6.18)
 * kill whatever is born into it. They do so too, in any leaf, when the cgroup
 * of the caller itself was killed once: that is tried out, and children then
 * have to enter their leaf after birth. No controller is needed or touched.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CGROUP_NAME_MAX 128

struct cgroup_base {
	int fd;		 /* directory; -1: there is none */
	char *path;	 /* for messages */
	char *group;	 /* the same as /proc/PID/cgroup shows it */
	bool enter_late; /* for spawn_spec: do not be born in a leaf */
};

/* Finds and makes the base. Returns 0; -ENOENT (no cgroup v2 here), -EACCES or
 * -EROFS (not writable), -EPERM (systemd's, and not delegated), -EOPNOTSUPP
 * (threaded, or a kernel without cgroup.kill). *ret_why, when not NULL, gets a
 * constant sentence for the operator. Starts a short-lived process and waits
 * for it. */
int cgroup_base_open(const char *name, struct cgroup_base *ret_base,
		     const char **ret_why);

/* Removes the base when it is empty, and closes it. Fine on one that was never
 * opened: { .fd = -1 }. */
void cgroup_base_done(struct cgroup_base *base);

/* Makes a leaf, or opens the one that exists. name is a plain file name of at
 * most CGROUP_NAME_MAX bytes. Returns its directory fd (CLOEXEC, the caller's)
 * or -errno. */
int cgroup_leaf_new(const struct cgroup_base *base, const char *name);

/* 1 when a live process is in the leaf or below, 0 when not, or -errno. */
int cgroup_leaf_is_populated(int leaf_fd);

/* Opens the leaf's cgroup.events, which polls EPOLLPRI when is_populated
 * changes; read it once before polling. Returns an fd or -errno. */
int cgroup_leaf_events_open(int leaf_fd);

/* The same as cgroup_leaf_is_populated(), from an open cgroup.events, which is
 * then quiet until the next change. -ENODEV: the leaf was removed. */
int cgroup_events_populated(int events_fd);

/* SIGKILLs everything in it, racing forks included. Returns 0 or -errno. */
int cgroup_leaf_kill(int leaf_fd);

/* Sends signo to each process in it or below, once. Returns how many, or
 * -errno. */
int cgroup_leaf_signal(int leaf_fd, int signo);

/* 1 when pid is in the leaf or below it, 0 when not, or -errno. */
int cgroup_leaf_has_pid(const struct cgroup_base *base, const char *name,
			int pid);

/* Removes a leaf and what is below. Returns 0, also when there is none; -EBUSY
 * while populated. */
int cgroup_leaf_remove(const struct cgroup_base *base, const char *name);

/* Calls on_leaf for each leaf that exists, e.g. one an earlier supervisor
 * left; it may remove it. Returns how many, or -errno. */
int cgroup_each_leaf(const struct cgroup_base *base,
		     void (*on_leaf)(void *userdata, const char *name),
		     void *userdata);
