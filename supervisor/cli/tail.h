/* A log file: its last lines, and what is written to it from then on.
 *
 * Knows files only, no daemon: who follows asks for the file again when it has
 * moved. The last lines are found from the end, in blocks, so a log of many
 * gigabytes costs no more than a small one. Following survives rotation and
 * truncation: nothing is left out as long as the rotated files are there.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "supervisor/cli/filter.h"
#include "workers/base/pure/buf.h"

#define TAIL_BLOCK_BYTES 65536
/* How far back a follower that was late looks for rotated files. */
#define TAIL_ROTATED_MAX 1000

/* Where the last n_lines lines of the first size bytes of fd begin. A last line
 * without a newline counts. Returns 0 or -errno. */
int tail_find(int fd, off_t size, uint64_t n_lines, off_t *ret_offset);

/* One file that is being read. */
struct tail_source {
	int fd;	    /* owned */
	char *path; /* owned; where the daemon writes it now */
	off_t offset;
};

#define TAIL_SOURCE_INIT ((struct tail_source){ .fd = -1 })

void tail_source_done(struct tail_source *source);

/* Where output goes: takes what data became. Returns 0 or -errno. */
typedef int (*tail_writer)(void *userdata, const char *data, size_t length);

struct tail_reader {
	struct tail_source source;
	struct filter filter;
	tail_writer write;
	void *userdata;
	struct buf out; /* of one block */
};

/* Writes out everything between the offset and the end of the file, however
 * much that is; begins anew when the file has become shorter. Returns 0 or
 * -errno. */
int tail_copy(struct tail_reader *reader);

/* True when the file at the path is another one than the one being read, or
 * cannot be looked at from here. */
bool tail_has_moved(const struct tail_source *source);

/* Goes on with new (takes it), which the daemon says is the log now: first to
 * the end of the old file, then through the files that came and went between
 * the two, as path.1, path.2, ... Stops on the way while a rotation is under
 * way: tail_has_moved() stays true, and the next call goes on from there. Does
 * nothing but close new when it is the same file. Returns 0 or -errno of
 * reading and writing. */
int tail_switch(struct tail_reader *reader, struct tail_source *new);
