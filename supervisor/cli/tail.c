/* See tail.h. */
#include "supervisor/cli/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"

/* ---- the last lines ------------------------------------------------------ */

static ssize_t read_at(int fd, char *data, size_t length, off_t offset)
{
	ssize_t n;

	do
		n = pread(fd, data, length, offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Like read_at, but all of it unless the file ends. */
static ssize_t read_block(int fd, char *data, size_t length, off_t offset)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = read_at(fd, data + done, length - done,
				    offset + (off_t)done);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Counts newlines from the end of the block. When the last of *n_left is
 * found, returns the offset behind it, else -1. */
static ssize_t search_block(const char *data, size_t length, uint64_t *n_left)
{
	while (length > 0) {
		const char *newline = memrchr(data, '\n', length);

		if (!newline)
			return -1;
		length = (size_t)(newline - data);
		if (--*n_left == 0)
			return (ssize_t)length + 1;
	}
	return -1;
}

int tail_find(int fd, off_t size, uint64_t n_lines, off_t *ret_offset)
{
	_cleanup_(free_pointer) char *block = NULL;
	off_t end = size - 1; /* the last newline ends a line, begins none */

	if (n_lines == 0 || size == 0) {
		*ret_offset = size;
		return 0;
	}
	block = malloc(TAIL_BLOCK_BYTES);
	if (!block)
		return -ENOMEM;
	while (end > 0) {
		off_t begin = MAX(end - TAIL_BLOCK_BYTES, 0);
		ssize_t n = read_block(fd, block, (size_t)(end - begin), begin);
		ssize_t at;

		if (n < 0)
			return (int)n;
		at = search_block(block, (size_t)n, &n_lines);
		if (at >= 0) {
			*ret_offset = begin + at;
			return 0;
		}
		end = begin;
	}
	*ret_offset = 0;
	return 0;
}

/* ---- reading on ---------------------------------------------------------- */

void tail_source_done(struct tail_source *source)
{
	fd_close(source->fd);
	free(source->path);
	*source = TAIL_SOURCE_INIT;
}

static int write_out(struct tail_reader *reader, const char *data, size_t n)
{
	int r;

	buf_clear(&reader->out);
	r = filter_feed(&reader->filter, data, n, &reader->out);
	if (r < 0)
		return r;
	return reader->write(reader->userdata, buf_text(&reader->out),
			     reader->out.len);
}

int tail_copy(struct tail_reader *reader)
{
	struct tail_source *source = &reader->source;
	char block[8192];
	struct stat st;
	ssize_t n;

	if (fstat(source->fd, &st) == 0 && st.st_size < source->offset)
		source->offset = 0;
	while ((n = read_at(source->fd, block, sizeof(block), source->offset)) >
	       0) {
		int r = write_out(reader, block, (size_t)n);

		if (r < 0)
			return r;
		source->offset += n;
	}
	return (int)n;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool tail_has_moved(const struct tail_source *source)
{
	struct stat here, there;

	if (fstat(source->fd, &here) < 0 || stat(source->path, &there) < 0)
		return true;
	return !is_same_file(&here, &there);
}

/* ---- rotation ------------------------------------------------------------
 *
 * A rotation renames path.2 to path.3, path.1 to path.2, path to path.1, in
 * this order, and may happen while we look: numbers only ever grow, and one of
 * them may be missing for a moment. So files are known by their inode, looked
 * for upwards, and a successor counts only when its predecessor has kept its
 * number meanwhile. What is not settled now is looked at again at the next
 * poll. */

/* Opens path.number, when it can be read from here. */
static int open_rotated(const char *path, unsigned number)
{
	_cleanup_(free_pointer) char *name = NULL;

	if (asprintf(&name, "%s.%u", path, number) < 0)
		return -ENOMEM;
	return open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

static bool is_file_of(int fd, const struct stat *st)
{
	struct stat there;

	return fstat(fd, &there) == 0 && is_same_file(st, &there);
}

static bool is_rotated_as(const char *path, unsigned number,
			  const struct stat *st)
{
	_cleanup_(fd_closep) int fd = open_rotated(path, number);

	return fd >= 0 && is_file_of(fd, st);
}

/* The number under which the file behind st was rotated away; 0: it is not
 * there any more, or cannot be seen from here. */
static unsigned find_rotated(const char *path, const struct stat *st)
{
	unsigned n_missing = 0;

	for (unsigned number = 1; number <= TAIL_ROTATED_MAX; number++) {
		_cleanup_(fd_closep) int fd = open_rotated(path, number);

		if (fd >= 0 && is_file_of(fd, st))
			return number;
		n_missing = fd < 0 ? n_missing + 1 : 0;
		if (n_missing > 1)
			break;
	}
	return 0;
}

static void replace_source(struct tail_reader *reader, struct tail_source *new)
{
	tail_source_done(&reader->source);
	reader->source = *new;
	*new = TAIL_SOURCE_INIT;
}

/* Finds what was written after the file of st, which is not the log any more:
 * the log of now (new), or a rotated file in between, put into *ret_between.
 * Returns 1 for new, 0 for between, -EAGAIN while a rotation is under way. */
static int find_successor(const struct stat *st, const struct tail_source *new,
			  struct tail_source *ret_between)
{
	_cleanup_(fd_closep) int fd = -1;
	unsigned number = find_rotated(new->path, st);
	struct stat new_st;

	if (number <= 1 || fstat(new->fd, &new_st) < 0)
		return 1;
	fd = open_rotated(new->path, number - 1);
	if (fd < 0 || !is_rotated_as(new->path, number, st))
		return -EAGAIN;
	if (is_file_of(fd, &new_st))
		return 1;
	ret_between->path = strdup(new->path);
	if (!ret_between->path)
		return -ENOMEM;
	ret_between->fd = TAKE_FD(fd);
	return 0;
}

/* One file further. Returns 1 when new is the source now, 0, or -errno. */
static int step(struct tail_reader *reader, struct tail_source *new)
{
	struct tail_source between = TAIL_SOURCE_INIT;
	struct stat st;
	int r;

	if (fstat(reader->source.fd, &st) < 0)
		return -errno;
	/* The daemon has let go of this file: what is in it now is all. */
	r = tail_copy(reader);
	if (r < 0)
		return r;
	r = find_successor(&st, new, &between);
	if (r == 0)
		replace_source(reader, &between);
	else if (r > 0)
		replace_source(reader, new);
	return r;
}

int tail_switch(struct tail_reader *reader, struct tail_source *new)
{
	struct stat st;
	int r = 0;

	if (fstat(new->fd, &st) < 0 || is_file_of(reader->source.fd, &st)) {
		tail_source_done(new);
		return 0;
	}
	while (r == 0)
		r = step(reader, new);
	tail_source_done(new);
	if (r == -EAGAIN)
		return 0;
	return r < 0 ? r : tail_copy(reader);
}
