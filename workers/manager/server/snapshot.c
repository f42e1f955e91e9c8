/* See snapshot.h. */
#include "workers/manager/server/snapshot.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

#define MAGIC	   "REEVESNP"
#define MAGIC_SIZE 8
#define VERSION	   1
#define HEAD_SIZE  (MAGIC_SIZE + sizeof(uint32_t))
#define SUM_SIZE   crypto_generichash_BYTES
#define NEW	   ".new"
#define LOCK_TRIES 200
#define LOOK_MSEC  10 /* between two of them */

/* ---- writing ------------------------------------------------------------------------ */

struct writer {
	int fd;
	crypto_generichash_state sum;
};

static int write_piece(void *userdata, const void *data, size_t size)
{
	struct writer *w = userdata;

	(void)crypto_generichash_update(&w->sum, data, size);
	return fd_write_all(w->fd, data, size);
}

static int write_all(int fd, const struct store *store)
{
	struct writer w = { .fd = fd };
	const struct store_sink sink = { write_piece, &w };
	unsigned char head[HEAD_SIZE], sum[SUM_SIZE];
	uint32_t version = htole32(VERSION);
	int r;

	(void)crypto_generichash_init(&w.sum, NULL, 0, SUM_SIZE);
	memcpy(head, MAGIC, MAGIC_SIZE);
	memcpy(head + MAGIC_SIZE, &version, sizeof(version));
	r = write_piece(&w, head, sizeof(head));
	if (r == 0)
		r = store_save(store, &sink);
	if (r < 0)
		return r;
	(void)crypto_generichash_final(&w.sum, sum, sizeof(sum));
	r = fd_write_all(fd, sum, sizeof(sum));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

static int sync_directory(const char *path)
{
	char directory[PATH_MAX];
	_cleanup_(fd_closep) int fd = -1;
	char *slash;

	(void)snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (slash)
		slash[1] = '\0';
	fd = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* a file system that cannot has nothing to sync */
	return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

int snapshot_write(const char *path, const struct store *store)
{
	_cleanup_(fd_closep) int fd = -1;
	char new[PATH_MAX];
	int r;

	if ((size_t)snprintf(new, sizeof(new), "%s" NEW, path) >= sizeof(new))
		return -ENAMETOOLONG;
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		  S_IRUSR | S_IWUSR);
	if (fd < 0)
		return -errno;
	r = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : write_all(fd, store);
	if (r == 0 && rename(new, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(new);
		return r;
	}
	return sync_directory(path);
}

/* ---- reading -------------------------------------------------------------------------- */

static const char *what_is_wrong(const unsigned char *data, size_t size)
{
	unsigned char sum[SUM_SIZE];
	uint32_t version;

	if (size < HEAD_SIZE || memcmp(data, MAGIC, MAGIC_SIZE) != 0)
		return "it is no snapshot of reeve-manager";
	memcpy(&version, data + MAGIC_SIZE, sizeof(version));
	if (le32toh(version) != VERSION)
		return "another version of reeve-manager wrote it";
	if (size < HEAD_SIZE + SUM_SIZE)
		return "it is cut off";
	(void)crypto_generichash(sum, sizeof(sum), data, size - SUM_SIZE, NULL,
				 0);
	if (memcmp(sum, data + size - SUM_SIZE, SUM_SIZE) != 0)
		return "its checksum is wrong: it is cut off, or was changed";
	return NULL;
}

static int load(struct store *store, const unsigned char *data, size_t size,
		const char **ret_wrong)
{
	const char *wrong = what_is_wrong(data, size);
	int r = -EBADMSG;

	if (!wrong) {
		r = store_load(store, data + HEAD_SIZE,
			       size - HEAD_SIZE - SUM_SIZE);
		if (r == -EBADMSG)
			wrong = "its contents make no sense";
		else if (r == -ENOSPC)
			wrong = "it has more in it than max-bytes or "
				"max-objects allow";
		else if (r < 0)
			wrong = strerror(-r);
	}
	*ret_wrong = wrong;
	return r;
}

static int load_file(const char *path, struct store *store,
		     const char **ret_wrong)
{
	_cleanup_(fd_closep) int fd =
		open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	void *data;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		*ret_wrong = strerror(-r);
		return r;
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0) {
		*ret_wrong = S_ISREG(st.st_mode) ? "it is empty"
						 : "it is no regular file";
		return -EBADMSG;
	}
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED) {
		r = -errno;
		*ret_wrong = strerror(-r);
		return r;
	}
	r = load(store, data, (size_t)st.st_size, ret_wrong);
	(void)munmap(data, (size_t)st.st_size);
	return r < 0 ? r : 1;
}

/* A copy that still writes belongs to a server that is dead: it will be, too. */
static int wait_for_copy(const char *path)
{
	_cleanup_(fd_closep) int fd = -1;
	char new[PATH_MAX];

	if ((size_t)snprintf(new, sizeof(new), "%s" NEW, path) >= sizeof(new))
		return -ENAMETOOLONG;
	fd = open(new, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (i == LOCK_TRIES)
			return -EBUSY;
		(void)poll(NULL, 0, LOOK_MSEC);
	}
	return 0;
}

int snapshot_load(struct snapshot *s, struct store *store, char *ret_reason,
		  size_t reason_size)
{
	const char *wrong = NULL;
	int r;

	if (!s->path)
		return 0;
	r = wait_for_copy(s->path);
	if (r < 0)
		wrong = strerror(-r);
	else
		r = load_file(s->path, store, &wrong);
	if (r < 0)
		(void)snprintf(ret_reason, reason_size,
			       "cannot read snapshot %.120s: %s; put a whole "
			       "one there, or move it away to begin empty",
			       s->path, wrong);
	s->saved = store_changes(store);
	return r;
}

/* ---- while the server goes on ------------------------------------------------------------ */

void snapshot_init(struct snapshot *s, const char *path, uint64_t interval_usec,
		   int lock_fd)
{
	*s = (struct snapshot){ .path = path,
				.interval_usec = interval_usec,
				.lock_fd = lock_fd,
				.pidfd = -1,
				.due_usec = USEC_INFINITY };
}

static void note_success(struct snapshot *s, uint64_t changes)
{
	s->saved = changes;
	s->n_written++;
	if (s->has_complained)
		log_notice("snapshot %s: written again", s->path);
	s->has_complained = false;
}

static void note_failure(struct snapshot *s, int error)
{
	s->n_failed++;
	if (!s->has_complained)
		log_error("cannot write snapshot %s: %s; trying again", s->path,
			  strerror(-error));
	s->has_complained = true;
}

static void close_all_but(int fd)
{
	unsigned after = STDERR_FILENO + 1;

	if (fd >= 0) {
		if (fd > STDERR_FILENO + 1)
			(void)syscall(SYS_close_range, after, fd - 1, 0);
		after = (unsigned)fd + 1;
	}
	(void)syscall(SYS_close_range, after, ~0U, 0);
}

/* The copy. It has the sockets, too, and would keep them open for those who are
 * disconnected meanwhile. */
static _Noreturn void run_copy(const struct snapshot *s,
			       const struct store *store, pid_t parent)
{
	int r = prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;

	if (getppid() != parent)
		_exit(ESRCH);
	close_all_but(s->lock_fd);
	if (r == 0)
		r = snapshot_write(s->path, store);
	_exit(-r);
}

static int begin_copy(struct snapshot *s, const struct store *store)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_copy(s, store, parent);
	s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (s->pidfd < 0) {
		int r = -errno;

		(void)kill(pid, SIGKILL);
		(void)waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED);
		return r;
	}
	s->pid = pid;
	s->writing = store_changes(store);
	return 0;
}

int snapshot_look(struct snapshot *s, const struct store *store,
		  uint64_t now_usec)
{
	int r;

	if (!s->path || s->pid)
		return 0;
	if (store_changes(store) == s->saved) {
		s->due_usec = USEC_INFINITY;
		return 0;
	}
	if (s->due_usec == USEC_INFINITY)
		s->due_usec = usec_add(now_usec, s->interval_usec);
	if (s->due_usec > now_usec)
		return 0;
	s->due_usec = USEC_INFINITY;
	r = begin_copy(s, store);
	if (r < 0)
		note_failure(s, r);
	return r == 0;
}

/* Waits for it; returns 0 or -errno. */
static int reap(struct snapshot *s)
{
	siginfo_t info = { 0 };
	int r;

	do
		r = waitid(P_PID, (id_t)s->pid, &info, WEXITED);
	while (r < 0 && errno == EINTR);
	s->pid = 0;
	s->pidfd = fd_close(s->pidfd);
	if (r < 0)
		return -errno;
	return info.si_code == CLD_EXITED ? -info.si_status : -ECANCELED;
}

void snapshot_on_end(struct snapshot *s, uint64_t now_usec)
{
	int r = reap(s);

	if (r == 0)
		note_success(s, s->writing);
	else
		note_failure(s, r);
	/* as long after this one, however long it took */
	s->due_usec = usec_add(now_usec, s->interval_usec);
}

int snapshot_finish(struct snapshot *s, const struct store *store)
{
	int r;

	if (!s->path)
		return 0;
	if (s->pid) {
		(void)kill(s->pid, SIGKILL);
		if (reap(s) == 0)
			s->saved = s->writing;
	}
	if (store_changes(store) == s->saved)
		return 0;
	r = snapshot_write(s->path, store);
	if (r < 0)
		log_error("cannot write the last snapshot %s: %s", s->path,
			  strerror(-r));
	else
		s->saved = store_changes(store);
	return r;
}
