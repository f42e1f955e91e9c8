#include "supervisor/cli/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"

static void append(const char *path, const char *text, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fd_write_all(fd, text, length), 0);
	close(fd);
}

static void append_text(const char *path, const char *text)
{
	append(path, text, strlen(text));
}

/* ---- the last lines ----------------------------------------------------- */

/* What tail(1) would print, found the slow way from the front. */
static size_t slow_tail(const char *data, size_t size, uint64_t n_lines)
{
	uint64_t n = 0, seen = 0;
	size_t i;

	for (i = 0; i < size; i++)
		n += data[i] == '\n';
	n += size > 0 && data[size - 1] != '\n';
	if (n_lines >= n)
		return 0;
	for (i = 0; seen < n - n_lines; i++)
		seen += data[i] == '\n';
	return i;
}

static void check_tail(const char *data, size_t size, uint64_t n_lines)
{
	const char *path = unit_path("tail");
	off_t offset = -1;
	int fd;

	unlink(path);
	append(path, data, size);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(tail_find(fd, (off_t)size, n_lines, &offset), 0);
	close(fd);
	ck_assert_msg(offset == (off_t)(n_lines == 0 ? size
						     : slow_tail(data, size,
								 n_lines)),
		      "size %zu, last %llu lines: %lld", size,
		      (unsigned long long)n_lines, (long long)offset);
}

START_TEST(test_small_tails)
{
	static const char *const files[] = {
		"",
		"\n",
		"a",
		"a\n",
		"a\nb",
		"a\nb\n",
		"\n\n\n",
		"a\n\nb\n\n",
		"\na",
		"one\ntwo\nthree",
		"one\ntwo\nthree\n",
	};
	static const uint64_t counts[] = { 0, 1, 2, 3, 4, 10, UINT64_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		for (size_t k = 0; k < ARRAY_SIZE(counts); k++)
			check_tail(files[i], strlen(files[i]), counts[k]);
}
END_TEST

/* Lines that begin and end at the edges of the blocks. */
START_TEST(test_blocks)
{
	static const size_t sizes[] = {
		TAIL_BLOCK_BYTES - 1,	  TAIL_BLOCK_BYTES,
		TAIL_BLOCK_BYTES + 1,	  TAIL_BLOCK_BYTES + 2,
		2 * TAIL_BLOCK_BYTES - 1, 2 * TAIL_BLOCK_BYTES,
		2 * TAIL_BLOCK_BYTES + 1, 3 * TAIL_BLOCK_BYTES + 7,
	};
	static const size_t lengths[] = { 1,
					  2,
					  100,
					  TAIL_BLOCK_BYTES - 1,
					  TAIL_BLOCK_BYTES,
					  TAIL_BLOCK_BYTES + 1 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(lengths); k++) {
			char *data = malloc(sizes[i]);

			memset(data, 'x', sizes[i]);
			for (size_t at = lengths[k] - 1; at < sizes[i];
			     at += lengths[k])
				data[at] = '\n';
			check_tail(data, sizes[i], 1);
			check_tail(data, sizes[i], 2);
			check_tail(data, sizes[i], 10);
			check_tail(data, sizes[i], TAIL_BLOCK_BYTES + 1);
			free(data);
		}
	}
}
END_TEST

/* One line of many blocks, and a file that is all hole and many gigabytes. */
START_TEST(test_huge)
{
	size_t size = 5 * TAIL_BLOCK_BYTES + 3;
	char *data = malloc(size);
	const char *path = unit_path("holes");
	off_t offset = -1, big = (off_t)8 << 30;
	uint64_t begin;
	int fd;

	memset(data, 'x', size);
	check_tail(data, size, 1);
	data[0] = '\n';
	check_tail(data, size, 1);
	check_tail(data, size, 2);
	free(data);

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, big), 0);
	ck_assert_int_eq(pwrite(fd, "\nlast\n", 6, big), 6);
	begin = clock_monotonic_usec();
	ck_assert_int_eq(tail_find(fd, big + 6, 1, &offset), 0);
	ck_assert_int_eq(offset, big + 1);
	/* only the end was read: 8 GiB would take seconds */
	ck_assert_uint_lt(clock_monotonic_usec() - begin, 500000);
	close(fd);
}
END_TEST

START_TEST(test_unreadable)
{
	off_t offset = -1;
	int fd = open("/tmp", O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(tail_find(fd, 10, 1, &offset), -EISDIR);
	ck_assert_int_eq(offset, -1);
	close(fd);
}
END_TEST

/* ---- reading on --------------------------------------------------------- */

struct sink {
	struct buf text;
	int error;
	void (*on_write)(void); /* what happens meanwhile; NULL: nothing */
};

static int take(void *userdata, const char *data, size_t length)
{
	struct sink *sink = userdata;

	if (sink->error < 0)
		return sink->error;
	if (sink->on_write)
		sink->on_write();
	return buf_append(&sink->text, data, length);
}

static void open_source(struct tail_source *source, const char *path)
{
	*source = TAIL_SOURCE_INIT;
	source->fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(source->fd, 0);
	source->path = strdup(path);
}

static void begin_reader(struct tail_reader *reader, const char *path,
			 struct sink *sink)
{
	*sink = (struct sink){ .text = BUF_INIT(0) };
	*reader = (struct tail_reader){ .write = take,
					.userdata = sink,
					.out = BUF_INIT(0) };
	open_source(&reader->source, path);
}

static void end_reader(struct tail_reader *reader, struct sink *sink)
{
	tail_source_done(&reader->source);
	buf_done(&reader->out);
	buf_done(&sink->text);
}

/* path.N becomes path.N+1 for all N, path becomes path.1, and is new. */
static void rotate(const char *path, unsigned keep)
{
	char from[256], to[256];

	for (unsigned n = keep; n > 0; n--) {
		snprintf(to, sizeof(to), "%s.%u", path, n);
		snprintf(from, sizeof(from), "%s.%u", path, n - 1);
		(void)rename(n == 1 ? path : from, to);
	}
	append_text(path, "");
}

static void go_on(struct tail_reader *reader, const char *path)
{
	struct tail_source new;

	open_source(&new, path);
	ck_assert_int_eq(tail_switch(reader, &new), 0);
	ck_assert_int_eq(new.fd, -1);
}

START_TEST(test_growing_and_shrinking)
{
	const char *path = unit_file("log", "one\n");
	struct tail_reader reader;
	struct sink sink;

	begin_reader(&reader, path, &sink);
	ck_assert_int_eq(tail_copy(&reader), 0);
	ck_assert_int_eq(tail_copy(&reader), 0);
	append_text(path, "two\n");
	ck_assert_int_eq(tail_copy(&reader), 0);
	ck_assert_str_eq(buf_text(&sink.text), "one\ntwo\n");
	/* somebody emptied it, as logrotate's copytruncate does */
	ck_assert_int_eq(truncate(path, 0), 0);
	append_text(path, "3\n");
	ck_assert_int_eq(tail_copy(&reader), 0);
	ck_assert_str_eq(buf_text(&sink.text), "one\ntwo\n3\n");
	ck_assert(!tail_has_moved(&reader.source));
	end_reader(&reader, &sink);
}
END_TEST

START_TEST(test_rotation)
{
	const char *path = unit_file("log", "one\n");
	struct tail_reader reader;
	struct sink sink;

	begin_reader(&reader, path, &sink);
	ck_assert_int_eq(tail_copy(&reader), 0);
	append_text(path, "two\n"); /* written just before the rotation */
	rotate(path, 3);
	append_text(path, "three\n");
	ck_assert(tail_has_moved(&reader.source));
	go_on(&reader, path);
	ck_assert_str_eq(buf_text(&sink.text), "one\ntwo\nthree\n");
	ck_assert(!tail_has_moved(&reader.source));
	/* the same file again changes nothing */
	go_on(&reader, path);
	append_text(path, "four\n");
	ck_assert_int_eq(tail_copy(&reader), 0);
	ck_assert_str_eq(buf_text(&sink.text), "one\ntwo\nthree\nfour\n");
	end_reader(&reader, &sink);
}
END_TEST

/* Several rotations between two looks: the files in between are read too. */
START_TEST(test_late_follower)
{
	const char *path = unit_file("log", "1\n");
	struct tail_reader reader;
	struct sink sink;

	begin_reader(&reader, path, &sink);
	ck_assert_int_eq(tail_copy(&reader), 0);
	for (int i = 2; i <= 5; i++) {
		char line[8];

		rotate(path, 10);
		snprintf(line, sizeof(line), "%d\n", i);
		append_text(path, line);
	}
	go_on(&reader, path);
	ck_assert_str_eq(buf_text(&sink.text), "1\n2\n3\n4\n5\n");
	end_reader(&reader, &sink);
}
END_TEST

static const char *busy_path;
static int next_line, rotations_left;

static void write_next(void)
{
	char line[16];

	snprintf(line, sizeof(line), "%d\n", next_line++);
	append_text(busy_path, line);
}

static void rotate_once_more(void)
{
	if (rotations_left-- <= 0)
		return;
	rotate(busy_path, 50);
	write_next();
}

/* Each piece that the follower writes gives time for one more rotation: the
 * numbers of the files change while it goes through them. */
START_TEST(test_rotation_meanwhile)
{
	struct buf all = BUF_INIT(0);
	struct tail_reader reader;
	struct sink sink;

	busy_path = unit_file("log", "");
	next_line = 1;
	write_next();
	begin_reader(&reader, busy_path, &sink);
	ck_assert_int_eq(tail_copy(&reader), 0);
	rotations_left = 4;
	while (rotations_left > 0)
		rotate_once_more();
	rotations_left = 6;
	sink.on_write = rotate_once_more;
	for (int i = 0; i < 20 && tail_has_moved(&reader.source); i++)
		go_on(&reader, busy_path);
	for (int i = 1; i < next_line; i++)
		buf_printf(&all, "%d\n", i);
	ck_assert_int_eq(next_line, 12);
	ck_assert_str_eq(buf_text(&sink.text), buf_text(&all));
	buf_done(&all);
	end_reader(&reader, &sink);
}
END_TEST

/* ---- a rotator that does not wait --------------------------------------- */

#define RACE_ROTATIONS 2000
#define RACE_AHEAD     8  /* files that the follower may be behind */
#define RACE_KEEP      20 /* of which all are there still */

/* Rotates as fast as it can; *seen is how many lines the follower has. */
_Noreturn static void race_rotator(const char *path, _Atomic int *seen)
{
	char line[16];

	for (int i = 2; i <= RACE_ROTATIONS; i++) {
		while (i - *seen > RACE_AHEAD)
			sched_yield();
		rotate(path, RACE_KEEP);
		snprintf(line, sizeof(line), "%d\n", i);
		append_text(path, line);
	}
	_exit(0);
}

static int count_lines(const struct buf *b, size_t *at, int n)
{
	for (; *at < b->len; (*at)++)
		n += b->data[*at] == '\n';
	return n;
}

/* Another process renames the files while their order is being found out. */
START_TEST(test_race_with_rotation)
{
	const char *path = unit_file("log", "1\n");
	void *shared = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	_Atomic int *seen = shared;
	struct buf all = BUF_INIT(0);
	struct tail_reader reader;
	struct sink sink;
	size_t at = 0;
	pid_t pid;
	int status, n = 0;

	begin_reader(&reader, path, &sink);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		race_rotator(path, seen);
	while (n < RACE_ROTATIONS) {
		struct tail_source new = TAIL_SOURCE_INIT;

		ck_assert_int_eq(tail_copy(&reader), 0);
		new.fd = open(path, O_RDONLY | O_CLOEXEC);
		new.path = strdup(path);
		if (new.fd >= 0)
			ck_assert_int_eq(tail_switch(&reader, &new), 0);
		else
			tail_source_done(&new);
		n = count_lines(&sink.text, &at, n);
		*seen = n;
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	for (int i = 1; i <= RACE_ROTATIONS; i++)
		buf_printf(&all, "%d\n", i);
	ck_assert_msg(strcmp(buf_text(&sink.text), buf_text(&all)) == 0,
		      "lines are missing or stand twice");
	munmap(shared, sizeof(int));
	buf_done(&all);
	end_reader(&reader, &sink);
}
END_TEST

/* Looked at in the middle of a rotation: a number is missing for a moment. */
START_TEST(test_half_a_rotation)
{
	const char *path = unit_file("log", "1\n");
	char one[256], two[256], three[256];
	struct tail_reader reader;
	struct sink sink;

	snprintf(one, sizeof(one), "%s.1", path);
	snprintf(two, sizeof(two), "%s.2", path);
	snprintf(three, sizeof(three), "%s.3", path);
	begin_reader(&reader, path, &sink);
	ck_assert_int_eq(tail_copy(&reader), 0);
	rotate(path, 9);
	append_text(path, "2\n");
	rotate(path, 9);
	append_text(path, "3\n");
	/* ours is .2, its successor .1: now both are on their way */
	ck_assert_int_eq(rename(two, three), 0);
	go_on(&reader, path);
	ck_assert_str_eq(buf_text(&sink.text), "1\n");
	ck_assert(tail_has_moved(&reader.source));
	ck_assert_int_eq(rename(one, two), 0);
	ck_assert_int_eq(rename(path, one), 0);
	append_text(path, "4\n");
	go_on(&reader, path);
	ck_assert_str_eq(buf_text(&sink.text), "1\n2\n3\n4\n");
	ck_assert(!tail_has_moved(&reader.source));
	end_reader(&reader, &sink);
}
END_TEST

/* The old file was rotated out of the world: what is there is told, no more. */
START_TEST(test_too_late_follower)
{
	const char *path = unit_file("log", "1\n");
	struct tail_reader reader;
	struct sink sink;

	begin_reader(&reader, path, &sink);
	append_text(path, "2\n");
	for (int i = 0; i < 3; i++)
		rotate(path, 1);
	append_text(path, "9\n");
	go_on(&reader, path);
	ck_assert_str_eq(buf_text(&sink.text), "1\n2\n9\n");
	end_reader(&reader, &sink);
}
END_TEST

START_TEST(test_moved)
{
	const char *path = unit_file("log", "");
	struct tail_reader reader;
	struct sink sink;

	begin_reader(&reader, path, &sink);
	ck_assert(!tail_has_moved(&reader.source));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert(tail_has_moved(&reader.source));
	append_text(path, "");
	ck_assert(tail_has_moved(&reader.source));
	end_reader(&reader, &sink);
}
END_TEST

START_TEST(test_writing_fails)
{
	const char *path = unit_file("log", "one\n");
	struct tail_reader reader;
	struct sink sink;

	begin_reader(&reader, path, &sink);
	sink.error = -ENOSPC;
	ck_assert_int_eq(tail_copy(&reader), -ENOSPC);
	/* nothing counts as written */
	sink.error = 0;
	ck_assert_int_eq(tail_copy(&reader), 0);
	ck_assert_str_eq(buf_text(&sink.text), "one\n");
	end_reader(&reader, &sink);
}
END_TEST

UNIT_MAIN("cli_tail", test_small_tails, test_blocks, test_huge, test_unreadable,
	  test_growing_and_shrinking, test_rotation, test_late_follower,
	  test_rotation_meanwhile, test_race_with_rotation,
	  test_half_a_rotation, test_too_late_follower, test_moved,
	  test_writing_fails)
