/* The snapshot's file: whole, or as it was; and what is no snapshot is left alone. */
#include "workers/manager/server/snapshot.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/store_rig.h"
#include "workers/base/pure/rng.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

#define INTERVAL 1000000

static struct session *a;
static int64_t d;
static struct snapshot snapshot;
static const char *path;

static void begin(void)
{
	(void)rig_store();
	a = rig_session();
	d = OPEN(a, DICT, "d");
	path = unit_path("snap");
	snapshot_init(&snapshot, path, INTERVAL, -1);
}

static void set(int64_t value)
{
	OK(a, DICT_SET, d, REEVE_ANY("k"), REEVE_ANY(value));
}

static int load(char reason[256])
{
	struct snapshot s;

	rig_done();
	(void)rig_store();
	snapshot_init(&s, path, INTERVAL, -1);
	reason[0] = '\0';
	return snapshot_load(&s, rig.store, reason, 256);
}

static void check_loads(int64_t value)
{
	char reason[256];
	int r = load(reason);

	ck_assert_msg(r == 1, "%d %s", r, reason);
	a = rig_session();
	d = OPEN(a, DICT, "d");
	ck_assert_int_eq(GET_INT(a, DICT_GET, d, REEVE_ANY("k")), value);
}

static bool exists(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0;
}

/* Runs what is due; waits for a copy's end. Returns how many there were. */
static int look(uint64_t now_usec)
{
	if (snapshot_look(&snapshot, rig.store, now_usec) == 0)
		return 0;
	ck_assert(fd_wait_readable(snapshot.pidfd, 10000));
	snapshot_on_end(&snapshot, now_usec);
	return 1;
}

START_TEST(test_written_and_read)
{
	struct stat st;

	begin();
	set(5);
	ck_assert_int_eq(snapshot_write(path, rig.store), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, S_IRUSR | S_IWUSR);
	ck_assert(!exists(unit_path("snap.new")));
	check_loads(5);
	rig_done();
}
END_TEST

START_TEST(test_none)
{
	char reason[256];
	struct snapshot none;

	begin();
	ck_assert_int_eq(load(reason), 0);
	snapshot_init(&none, NULL, INTERVAL, -1);
	ck_assert_int_eq(snapshot_load(&none, rig.store, reason, 256), 0);
	a = rig_session();
	(void)OPEN(a, LIST, "l");
	ck_assert_int_eq(snapshot_look(&none, rig.store, 0), 0);
	ck_assert_int_eq(snapshot_finish(&none, rig.store), 0);
	ck_assert_uint_eq(none.due_usec, USEC_INFINITY);
	rig_done();
}
END_TEST

/* So long after a change; not while nothing changes; one at a time. */
START_TEST(test_when)
{
	begin();
	set(1);
	ck_assert_int_eq(look(5), 0);
	ck_assert_uint_eq(snapshot.due_usec, 5 + INTERVAL);
	set(2);
	ck_assert_int_eq(look(100), 0);
	ck_assert_uint_eq(snapshot.due_usec, 5 + INTERVAL);
	ck_assert(!exists(path));
	ck_assert_int_eq(look(5 + INTERVAL), 1);
	ck_assert_int_eq(snapshot.n_written, 1);
	ck_assert_int_eq(look(100 * INTERVAL), 0);
	ck_assert_uint_eq(snapshot.due_usec, USEC_INFINITY);
	/* what changes while it is written comes into the next one */
	set(3);
	ck_assert_int_eq(look(200 * INTERVAL), 0);
	ck_assert_int_eq(snapshot_look(&snapshot, rig.store, 201 * INTERVAL),
			 1);
	set(4);
	ck_assert_int_eq(snapshot_look(&snapshot, rig.store, 500 * INTERVAL),
			 0);
	ck_assert(fd_wait_readable(snapshot.pidfd, 10000));
	snapshot_on_end(&snapshot, 500 * INTERVAL);
	ck_assert_int_eq(look(501 * INTERVAL - 1), 0);
	ck_assert_int_eq(look(501 * INTERVAL), 1);
	ck_assert_int_eq(snapshot.n_written, 3);
	check_loads(4);
	rig_done();
}
END_TEST

START_TEST(test_the_last_one)
{
	begin();
	set(1);
	ck_assert_int_eq(snapshot_finish(&snapshot, rig.store), 0);
	check_loads(1);
	/* nothing changed: not written again */
	snapshot_init(&snapshot, path, INTERVAL, -1);
	snapshot.saved = store_changes(rig.store);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(snapshot_finish(&snapshot, rig.store), 0);
	ck_assert(!exists(path));
	/* while a copy is at work */
	set(2);
	ck_assert_int_eq(look(1), 0);
	ck_assert_int_eq(snapshot_look(&snapshot, rig.store, 1 + INTERVAL), 1);
	set(3);
	ck_assert_int_eq(snapshot_finish(&snapshot, rig.store), 0);
	check_loads(3);
	rig_done();
}
END_TEST

/* ---- broken ones ----------------------------------------------------------------------- */

static void write_bytes(const char *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_eq(fd_write_all(fd, data, size), 0);
	fd_close(fd);
}

static char *read_bytes(size_t *ret_size)
{
	char *data;

	ck_assert_int_eq(fd_read_file(AT_FDCWD, path, 1 << 20, &data, ret_size),
			 0);
	return data;
}

static void check_refused(const char *word)
{
	struct stat before, after;
	char reason[256];

	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_int_eq(load(reason), -EBADMSG);
	ck_assert_msg(strstr(reason, word) && strstr(reason, path), "%s",
		      reason);
	ck_assert_msg(strstr(reason, "move it away"), "%s", reason);
	ck_assert_uint_eq(store_objects(rig.store), 0);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_int_eq(before.st_size, after.st_size);
}

START_TEST(test_broken)
{
	size_t size;
	char *data;

	begin();
	set(1);
	ck_assert_int_eq(snapshot_write(path, rig.store), 0);
	data = read_bytes(&size);
	/* cut at every place, and every byte changed */
	for (size_t i = 0; i < size; i++) {
		char reason[256];

		write_bytes(data, i);
		if (load(reason) != -EBADMSG)
			ck_abort_msg("cut at %zu: %s", i, reason);
		write_bytes(data, size);
		data[i] ^= 0x20;
		write_bytes(data, size);
		data[i] ^= 0x20;
		if (load(reason) != -EBADMSG)
			ck_abort_msg("changed at %zu: %s", i, reason);
	}
	write_bytes("", 0);
	check_refused("empty");
	write_bytes("something else, of some length, that somebody wrote", 50);
	check_refused("no snapshot");
	write_bytes(data, 20);
	check_refused("cut off");
	write_bytes(data, size - 1);
	check_refused("checksum");
	data[8]++;
	write_bytes(data, size);
	check_refused("another version");
	free(data);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	check_refused("no regular file");
	rig_done();
}
END_TEST

/* The limits have become less: said, and the file stays. */
START_TEST(test_too_large)
{
	struct store_limits limits = rig_limits;
	char reason[256];

	begin();
	(void)OPEN(a, LIST, "l");
	ck_assert_int_eq(snapshot_write(path, rig.store), 0);
	rig_done();
	limits.max_objects = 1;
	(void)rig_store_with(&limits);
	ck_assert_int_eq(snapshot_load(&snapshot, rig.store, reason, 256),
			 -ENOSPC);
	ck_assert_msg(strstr(reason, "max-objects"), "%s", reason);
	rig_done();
}
END_TEST

/* ---- no room ------------------------------------------------------------------------------ */

static char said[4096];

static void note(void *userdata, const char *line, size_t len)
{
	(void)userdata;
	(void)strncat(said, line, MIN(len, sizeof(said) - strlen(said) - 1));
}

static int count_said(const char *word)
{
	int n = 0;

	for (const char *p = said; (p = strstr(p, word)); p++)
		n++;
	return n;
}

static void limit_files(rlim_t size)
{
	const struct rlimit l = { size, RLIM_INFINITY };

	(void)setrlimit(RLIMIT_FSIZE, &l);
}

/* The old one stays whole, it is said once, tried again, and said when it works. */
START_TEST(test_a_full_disk)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	char large[5000];

	begin();
	set(1);
	ck_assert_int_eq(snapshot_write(path, rig.store), 0);
	log_set_writer(note, NULL);
	(void)sigaction(SIGXFSZ, &ignore, NULL);
	limit_files(4096);
	memset(large, 'x', sizeof(large));
	OK(a, DICT_SET, d, REEVE_ANY("large"),
	   reeve_any_bytes(large, sizeof(large)));
	set(2);
	ck_assert_int_eq(look(INTERVAL), 0);
	for (int i = 1; i <= 3; i++) {
		ck_assert_int_eq(look((uint64_t)(i + 1) * INTERVAL), 1);
		ck_assert_int_eq(snapshot.n_failed, i);
		ck_assert(!exists(unit_path("snap.new")));
	}
	ck_assert_int_eq(snapshot.n_written, 0);
	ck_assert_int_eq(count_said("cannot write snapshot"), 1);
	ck_assert_msg(strstr(said, "File too large"), "%s", said);
	ck_assert_int_eq(snapshot_finish(&snapshot, rig.store), -EFBIG);
	ck_assert_int_eq(count_said("cannot write the last snapshot"), 1);
	limit_files(RLIM_INFINITY);
	ck_assert_int_eq(look(9 * INTERVAL), 1);
	ck_assert_int_eq(snapshot.n_written, 1);
	ck_assert_int_eq(count_said("written again"), 1);
	log_set_writer(NULL, NULL);
	check_loads(2);
	rig_done();
}
END_TEST

START_TEST(test_no_directory)
{
	begin();
	ck_assert_int_eq(snapshot_write(unit_path("none/snap"), rig.store),
			 -ENOENT);
	rig_done();
}
END_TEST

/* ---- deaths ------------------------------------------------------------------------------- */

static _Noreturn void write_for_ever(void)
{
	for (int64_t i = 1;; i++) {
		set(i);
		if (snapshot_write(path, rig.store) < 0)
			_exit(1);
	}
}

/* Who writes is killed, anywhere: the file is always a whole one. */
START_TEST(test_killed_while_writing)
{
	int rounds = getenv("REEVE_SOAK") ? 3000 : 60;
	struct rng rng = { (uint64_t)getpid() };

	begin();
	for (int i = 0; i < 200; i++)
		OK(a, DICT_SET, d, REEVE_ANY(i), REEVE_ANY("some text"));
	set(0);
	ck_assert_int_eq(snapshot_write(path, rig.store), 0);
	for (int i = 0; i < rounds; i++) {
		struct pollfd none = { .fd = -1 };
		pid_t pid = fork();
		char reason[256];

		if (pid == 0)
			write_for_ever();
		(void)poll(&none, 1, (int)rng_below(&rng, 5));
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		ck_assert_int_eq(load(reason), 1);
		a = rig_session();
		d = OPEN(a, DICT, "d");
		ck_assert_int_eq(GET_INT(a, LENGTH, d), 201);
	}
	unit_count((unsigned long)rounds, "kills");
	(void)unlink(unit_path("snap.new"));
	rig_done();
}
END_TEST

/* A copy of a dead server that is still writing is waited for. */
START_TEST(test_a_copy_is_waited_for)
{
	char reason[256];
	int fd =
		open(unit_path("snap.new"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	pid_t pid;
	uint64_t begun;

	begin();
	set(1);
	ck_assert_int_eq(snapshot_write(path, rig.store), 0);
	fd_close(fd);
	fd = open(unit_path("snap.new"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	ck_assert_int_eq(load(reason), -EBUSY);
	/* for a while it is there */
	pid = fork();
	if (pid == 0) {
		(void)poll(NULL, 0, 100);
		_exit(0);
	}
	fd_close(fd);
	begun = clock_monotonic_usec();
	check_loads(1);
	ck_assert_uint_ge(clock_monotonic_usec() - begun, 50000);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	(void)unlink(unit_path("snap.new"));
	rig_done();
}
END_TEST

/* The copy closes what the server has open, before anything else: here it comes no
 * further than to a file that it cannot open yet. */
START_TEST(test_the_copy_keeps_no_sockets)
{
	int fds[2], fifo;
	struct pollfd p;

	begin();
	set(1);
	ck_assert_int_eq(mkfifo(unit_path("snap.new"), 0600), 0);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	(void)look(1);
	ck_assert_int_eq(snapshot_look(&snapshot, rig.store, 1 + INTERVAL), 1);
	fd_close(fds[1]);
	p = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 10000), 1);
	ck_assert_int_eq(p.revents & POLLHUP, POLLHUP);
	fifo = open(unit_path("snap.new"), O_RDONLY | O_CLOEXEC);
	ck_assert(fd_wait_readable(snapshot.pidfd, 10000));
	snapshot_on_end(&snapshot, 0);
	ck_assert_int_eq(snapshot.n_failed, 1); /* it is no file to sync */
	fd_close(fifo);
	fd_close(fds[0]);
	rig_done();
}
END_TEST

UNIT_MAIN("manager_snapshot", test_written_and_read, test_none, test_when,
	  test_the_last_one, test_broken, test_too_large, test_a_full_disk,
	  test_no_directory, test_killed_while_writing,
	  test_a_copy_is_waited_for, test_the_copy_keeps_no_sockets)
