/* Memory that processes share, sleeping in it, and who of them lives. */
#include "workers/shared/region.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/procstat.h"
#include "workers/base/sys/spin.h"

#define REGION_MAGIC UINT32_C(0x72656531)
#define SEALS	     (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* ---- making and opening ---------------------------------------------------------- */

static int map(int fd, size_t size, struct region *ret)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return -errno;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = (struct region){ .head = p,
				.size = size,
				.fd = fd,
				.dev = st.st_dev,
				.ino = st.st_ino };
	return 0;
}

int region_new(enum region_kind kind, size_t size, struct region *ret)
{
	_cleanup_(fd_closep) int fd = -1;
	struct region region = REGION_NONE;
	int r;

	if (size < sizeof(struct region_head) || size > INT64_MAX)
		return -EINVAL;
	fd = fd_lift(
		memfd_create("reeve-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	r = map(fd, size, &region);
	if (r < 0)
		return r;
	reeve_assert(region.head);
	*region.head = (struct region_head){ REGION_MAGIC, kind, size };
	(void)TAKE_FD(fd);
	*ret = region;
	return 0;
}

int region_check(int fd, struct region_head *ret)
{
	struct region_head head;
	struct stat st;

	if (fstat(fd, &st) < 0 || fcntl(fd, F_GET_SEALS) != SEALS ||
	    pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    head.magic != REGION_MAGIC || head.size != (uint64_t)st.st_size)
		return -EBADMSG;
	*ret = head;
	return 0;
}

int region_open(int fd, enum region_kind kind, size_t least, struct region *ret)
{
	_cleanup_(fd_closep) int own = fd_copy(fd);
	struct region_head head;
	int r;

	if (own < 0)
		return own;
	if (region_check(own, &head) < 0 || head.kind != (uint32_t)kind ||
	    head.size < least)
		return -EBADMSG;
	r = map(own, head.size, ret);
	if (r == 0)
		(void)TAKE_FD(own);
	return r;
}

void region_done(struct region *region)
{
	struct stat st;

	if (region->head)
		(void)munmap(region->head, region->size);
	if (region->fd >= 0 && fstat(region->fd, &st) == 0 &&
	    st.st_dev == region->dev && st.st_ino == region->ino)
		fd_close(region->fd);
	*region = REGION_NONE;
}

/* ---- waiting ---------------------------------------------------------------------- */

/* What is waited for often comes before a sleep would have begun, and falling
 * asleep with a timer costs most of all. The CPU is yielded: who brings it may
 * need this one. Returns whether the word has changed. */
static bool spin(_Atomic uint32_t *word, uint32_t value, uint64_t end_usec)
{
	do {
		for (int i = 0; i < SPIN_LOOKS; i++) {
			if (atomic_load(word) != value)
				return true;
			SPIN_PAUSE();
		}
		(void)sched_yield();
	} while (clock_monotonic_usec() < end_usec);
	return atomic_load(word) != value;
}

int region_wait(_Atomic uint32_t *word, uint32_t value, uint64_t end_usec)
{
	uint64_t now = clock_monotonic_usec(), usec = REGION_LOOK_USEC;
	struct timespec ts;

	if (end_usec != UINT64_MAX && now >= end_usec)
		return -ETIMEDOUT;
	if (spin(word, value, MIN(end_usec, now + REGION_SPIN_USEC)))
		return 0;
	if (end_usec != UINT64_MAX)
		usec = MIN(usec, end_usec - now);
	ts.tv_sec = (time_t)(usec / USEC_PER_SEC);
	ts.tv_nsec = (long)(usec % USEC_PER_SEC) * 1000;
	(void)syscall(SYS_futex, word, FUTEX_WAIT, value, &ts, NULL, 0);
	return 0;
}

int region_wake(_Atomic uint32_t *word, int n)
{
	long woken = syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);

	return woken > 0 ? (int)woken : 0;
}

/* ---- who lives ---------------------------------------------------------------------- */

/* Where the process keeps who it is: memory that is empty again in a child,
 * however that was forked. NULL when there is none. */
static struct party *known_self(void)
{
	static _Atomic(struct party *) known;
	struct party *page = atomic_load(&known), *none = NULL;

	if (page)
		return page;
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return NULL;
	if (madvise(page, sizeof(*page), MADV_WIPEONFORK) == 0 &&
	    atomic_compare_exchange_strong(&known, &none, page))
		return page;
	(void)munmap(page, sizeof(*page));
	return none; /* another thread's, or NULL */
}

static void party_set(struct party *party, int32_t pid, uint64_t start_ticks)
{
	atomic_store(&party->start_ticks, start_ticks);
	atomic_store(&party->pid, pid); /* this one says that it is there */
}

void party_self(struct party *ret)
{
	struct party *known = known_self();
	struct tree_process p = { 0 };
	int32_t pid;

	if (known && atomic_load(&known->pid) > 0) {
		party_set(ret, atomic_load(&known->pid),
			  atomic_load(&known->start_ticks));
		return;
	}
	pid = (int32_t)getpid();
	(void)procstat_read(pid, &p);
	if (known)
		party_set(known, pid, p.start_ticks);
	party_set(ret, pid, p.start_ticks);
}

bool party_is_self(const struct party *party)
{
	struct party self;

	party_self(&self);
	return atomic_load(&party->pid) == atomic_load(&self.pid) &&
	       atomic_load(&party->start_ticks) ==
		       atomic_load(&self.start_ticks);
}

bool party_is_gone(const struct party *party)
{
	int32_t pid = atomic_load(&party->pid);

	return pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

bool party_is_dead(const struct party *party)
{
	int32_t pid = atomic_load(&party->pid);
	uint64_t ticks = atomic_load(&party->start_ticks);
	struct tree_process p = { 0 };

	if (pid <= 0)
		return false;
	if (kill(pid, 0) < 0 && errno == ESRCH)
		return true;
	if (procstat_read(pid, &p) < 0)
		return false; /* not to be seen is not dead */
	return procstat_is_dead(&p) || (ticks != 0 && p.start_ticks != ticks);
}
