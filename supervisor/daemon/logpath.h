/* Where log files are: directories, files and backups, opened so that nobody
 * can lead us astray.
 *
 * A log file often lies in a directory that the worker's user can write, and
 * reeved is often root. So no path is trusted further than its owner:
 *   - a symbolic link on the way may lead only to where its owner could write
 *     anyway: root's and our own anywhere, another user's only into a
 *     directory of that same user (/home/app/current/log works);
 *   - the file itself is never reached through a symbolic link, has one name
 *     only (a second one may be /etc/shadow), and is a regular file or a
 *     character device (/dev/null); opening never blocks.
 * Directories are walked and held by fd: what was checked is what is used.
 *
 * No state; blocks only as the file system does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define LOGPATH_LINKS_MAX 40 /* followed on one path, as the kernel does */

/* Opens the directory of path (O_PATH, CLOEXEC, the caller's); *ret_name
 * becomes the last component, inside of path. Returns the fd or -errno:
 * -ELOOP (a link that is not trusted, or too many), -EISDIR (path ends in
 * "/", "." or ".."), -ENOTDIR, -ENOENT, -EACCES, -ENAMETOOLONG. */
int logpath_open_dir(const char *path, const char **ret_name);

/* Opens name for appending and makes it when it is not there (mode & ~umask);
 * must_be_new: fails with -EEXIST when it is. Returns the fd (non-blocking,
 * CLOEXEC, the caller's) with *ret_st, or -errno: -ELOOP (a symbolic link),
 * -EMLINK (has another name), -EISDIR, -EINVAL (fifo, socket, block
 * device). */
int logpath_open_file(int dir_fd, const char *name, mode_t mode,
		      bool must_be_new, struct stat *ret_st);

/* True when name is the file of st. */
bool logpath_is_file(int dir_fd, const char *name, const struct stat *st);

/* Renames name to name.1 and, as far as need be, name.1 to name.2 and so on;
 * name.BACKUPS is overwritten when none before it is free. backups is at
 * least 1. Returns 0, or -errno and name is where it was. */
int logpath_shift(int dir_fd, const char *name, uint32_t backups);

/* Renames name.1 back to name. Returns 0 or -errno. */
int logpath_unshift(int dir_fd, const char *name);
