/* Repairing: which object it is, and getting at its guard. The rest is each
 * object's own.
 */
#include "workers/shared/repair.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"

/* A guard is held for less than a microsecond, if its holder runs. */
#define TRIES 32

static const struct repair_way *const ways[] = {
	[REGION_LOCK] = &lock_repair,
	[REGION_SEMAPHORE] = &semaphore_repair,
	[REGION_EVENT] = &event_repair,
	[REGION_CONDITION] = &condition_repair,
	[REGION_BARRIER] = &barrier_repair,
	[REGION_ARRAY] = &array_repair,
	[REGION_QUEUE] = &queue_repair,
};

int repair_open(int fd, int event_fd, struct patient *ret)
{
	const struct repair_way *way;
	struct region_head head;
	struct stat st;
	void *p;

	if (region_check(fd, &head) < 0 || head.kind >= ARRAY_SIZE(ways) ||
	    !ways[head.kind])
		return -EBADMSG;
	way = ways[head.kind];
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < way->size)
		return -EBADMSG;
	p = mmap(NULL, way->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	(void)madvise(p, way->size, MADV_DONTFORK);
	*ret = (struct patient){ way, p, event_fd };
	return 0;
}

void repair(const struct patient *p)
{
	p->way->repair(p);
}

void repair_done(struct patient *p)
{
	if (p->memory)
		(void)munmap(p->memory, p->way->size);
	*p = (struct patient){ .event_fd = -1 };
}

int repair_enter(struct latch *guard)
{
	int r = -ETIMEDOUT;

	for (int i = 0; i < TRIES && r == -ETIMEDOUT; i++) {
		if (i > 0)
			(void)sched_yield();
		r = latch_lock(guard, 0);
	}
	return r;
}
