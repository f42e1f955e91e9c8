/* A log file that is always written: rotated by size or on command, and what
 * the disk does not take is counted and said.
 *
 * Properties
 *   Every byte given is either in the file and its backups or counted as
 *   dropped. A line is counted where its newline went: lines in = lines out +
 *   lines dropped, exactly. When writing works again the file first gets
 *     reeve: 1234 bytes (5 lines) dropped: No space left on device
 *   on a line of its own; when the file ended in the middle of a line, that
 *   one is ended first, and "dropped, the line above is cut:" says so.
 *   No file grows beyond maxbytes. Files are parted behind the last newline
 *   that fits; a line longer than a file, or one that is written in pieces, is
 *   parted where the file is full.
 *   PATH.1 .. PATH.N put together from the last give what was written.
 *   While rotating fails, the file goes on growing (losing data would be
 *   worse) and the next attempt is made maxbytes later.
 * Operation
 *   All users of a path share one struct logfile, through a registry; what the
 *   first of them asked for holds, until logfile_limit(). Memory is that of
 *   the struct, whatever is written.
 *   What the operator should know goes to the registry's reporter: once when
 *   something begins to fail and once when it works again.
 * Safety
 *   See logpath.h for what is opened and what is refused. Not thread safe.
 *   Blocks only as writing a file does. SIGXFSZ must be ignored when a file
 *   size limit is set. The fds are CLOEXEC.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LOGFILE_MODE	   0640
#define LOGFILE_NOTICE_MAX 256	/* bytes of a line about dropped output */
#define LOGFILE_REPORT_MAX 1024 /* bytes of a report, the path cut if need be */

struct logfile_registry;

struct logfile_spec {
	const char *path;
	uint64_t maxbytes; /* 0: never rotated */
	uint32_t backups;  /* 0: emptied instead of rotated */
	mode_t mode;	   /* 0: LOGFILE_MODE; less the umask */
};

struct logfile {
	struct logfile_registry *registry;
	struct logfile *next; /* in its bucket */
	unsigned n_refs;

	char *path;
	uint64_t maxbytes;
	uint32_t backups;
	mode_t mode;

	int fd;		    /* always open */
	bool is_regular;    /* else a device: never rotated */
	bool is_mid_line;   /* the last byte written was no newline */
	uint64_t size;	    /* as far as we know */
	uint64_t rotate_at; /* size not to be passed; 0: none */
	int rotate_error;   /* -errno while rotating fails */

	/* While writing fails: why, and what was dropped since. */
	int drop_error; /* -errno; 0: writing works */
	uint64_t drop_bytes, drop_lines;

	/* Since it was opened; what is in the lines above included. */
	uint64_t total_bytes_dropped, total_lines_dropped;
};

/* text is a whole sentence without newline, for the daemon's own log. It may
 * write to log files, this one too. */
typedef void (*logfile_reporter)(void *userdata, bool is_problem,
				 const char *text);

struct logfile_registry {
	struct logfile **buckets;
	size_t n_buckets, n_files;
	logfile_reporter reporter; /* may be NULL */
	void *userdata;
};

/* Cannot fail; allocates nothing yet. */
void logfile_registry_init(struct logfile_registry *reg,
			   logfile_reporter reporter, void *userdata);

/* Frees all files, users or not. */
void logfile_registry_done(struct logfile_registry *reg);

/* The file of spec->path, opened when nobody has it yet. The spec is copied.
 * Returns 0 with a reference for the caller, or -errno: see logpath.h and
 * logfile_error_text(). */
int logfile_get(struct logfile_registry *reg, const struct logfile_spec *spec,
		struct logfile **ret_file);

/* Gives a reference back, NULL is fine. The last one closes the file, and what
 * could not be declared in it is reported. Returns NULL. */
struct logfile *logfile_put(struct logfile *lf);

/* Other limits, for all its users, from the next write on. */
void logfile_limit(struct logfile *lf, uint64_t maxbytes, uint32_t backups);

/* Writes, rotates, counts; never fails its caller. */
void logfile_write(struct logfile *lf, const char *data, size_t len);

/* Opens the path anew. Returns 0; or -errno, still writing where it did. */
int logfile_reopen(struct logfile *lf);

/* Rotates now: PATH becomes PATH.1, or is emptied when there are no backups.
 * An empty file stays; one that was moved away is opened anew instead.
 * Returns 0; -EINVAL for a device; or -errno, still writing where it did. */
int logfile_rotate(struct logfile *lf);

/* What an operator means by "reopen and rotate logs": opens anew what others
 * have moved away and rotates the rest, except what is never to be rotated
 * (maxbytes 0) or has nowhere to go (backups 0): a signal deletes nothing.
 * Failures are reported. */
void logfile_renew(struct logfile *lf);
void logfile_renew_all(struct logfile_registry *reg);

/* What an error of logfile_get() means, "is a symbolic link ...". error is a
 * -errno; the text is constant or strerror(3)'s. */
const char *logfile_error_text(int error);
