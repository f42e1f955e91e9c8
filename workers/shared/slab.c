/* Slabs: made, filled, kept, read. A sender has its slabs mapped, and fills one
 * that was used before by a plain copy; a receiver reads each once, by pread.
 */
#include "workers/shared/slab.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"

#define SLAB_PATIENCE_USEC 1000
#define SEALS		   (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static struct slab *slab_free(struct slab *slab)
{
	if (!slab)
		return NULL;
	if (slab->memory)
		(void)munmap(slab->memory, SLAB_OFFSET + slab->room);
	(void)fd_close(slab->fd);
	free(slab);
	return NULL;
}

static void free_slab(struct slab **slab)
{
	(void)slab_free(*slab);
}

/* Rooms are powers of two, so that a depot comes to serve most sizes. */
static int slab_new(size_t size, struct slab **ret)
{
	_cleanup_(free_slab) struct slab *slab = calloc(1, sizeof(*slab));
	void *p;

	if (!slab)
		return -ENOMEM;
	for (slab->room = SLAB_OFFSET; slab->room < size;)
		slab->room *= 2;
	slab->fd =
		memfd_create("reeve-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (slab->fd < 0 ||
	    ftruncate(slab->fd, (off_t)(SLAB_OFFSET + slab->room)) < 0 ||
	    fcntl(slab->fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	p = mmap(NULL, SLAB_OFFSET + slab->room, PROT_READ | PROT_WRITE,
		 MAP_SHARED, slab->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	slab->memory = p;
	slab->busy = p;
	atomic_store(slab->busy, 1);
	*ret = TAKE(slab);
	return 0;
}

/* New memory is written by a call that can say that there is none; what was
 * written before is there. */
static int slab_fill(struct slab *slab, const void *data, size_t size)
{
	const char *from = data;
	ssize_t n;

	if (size <= slab->filled) {
		memcpy(slab->memory + SLAB_OFFSET, data, size);
		return 0;
	}
	for (size_t done = 0; done < size; done += (size_t)n) {
		n = pwrite(slab->fd, from + done, size - done,
			   (off_t)(SLAB_OFFSET + done));
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
	}
	slab->filled = size;
	return 0;
}

/* Puts slab where there is a place, or else in another's. */
static void put_back(struct slab_depot *depot, struct slab *slab)
{
	struct slab *none;
	uint32_t i;

	for (i = 0; i < SLAB_KEPT; i++) {
		none = NULL;
		if (atomic_compare_exchange_strong(&depot->kept[i], &none,
						   slab))
			return;
	}
	i = atomic_fetch_add(&depot->next, 1) % SLAB_KEPT;
	(void)slab_free(atomic_exchange(&depot->kept[i], slab));
}

/* A kept one that is free and has room, now marked busy; NULL if none. */
static struct slab *find_free(struct slab_depot *depot, size_t size)
{
	struct slab *slab;
	uint32_t is_busy;

	for (int i = 0; i < SLAB_KEPT; i++) {
		slab = atomic_exchange(&depot->kept[i], NULL);
		is_busy = 0;
		if (!slab)
			continue;
		if (slab->room >= size &&
		    atomic_compare_exchange_strong(slab->busy, &is_busy, 1))
			return slab;
		put_back(depot, slab);
	}
	return NULL;
}

static bool is_full(const struct slab_depot *depot)
{
	int i = 0;

	while (i < SLAB_KEPT && atomic_load(&depot->kept[i]))
		i++;
	return i == SLAB_KEPT;
}

/* When all are under way, one that is read soon is cheaper than a new one. */
static struct slab *find_patiently(struct slab_depot *depot, size_t size)
{
	struct slab *slab = find_free(depot, size);
	uint64_t end;

	if (slab || !is_full(depot))
		return slab;
	end = clock_monotonic_usec() + SLAB_PATIENCE_USEC;
	while (!slab && clock_monotonic_usec() < end) {
		(void)sched_yield();
		slab = find_free(depot, size);
	}
	return slab;
}

int slab_take(struct slab_depot *depot, const void *data, size_t size,
	      struct slab **ret)
{
	struct slab *slab = find_patiently(depot, size);
	int r = slab ? 0 : slab_new(size, &slab);

	if (r < 0)
		return r;
	reeve_assert(slab);
	r = slab_fill(slab, data, size);
	if (r < 0)
		slab_abandon(depot, slab);
	else
		*ret = slab;
	return r;
}

void slab_keep(struct slab_depot *depot, struct slab *slab)
{
	put_back(depot, slab);
}

void slab_abandon(struct slab_depot *depot, struct slab *slab)
{
	atomic_store(slab->busy, 0);
	put_back(depot, slab);
}

void slab_depot_done(struct slab_depot *depot)
{
	for (int i = 0; i < SLAB_KEPT; i++)
		(void)slab_free(atomic_exchange(&depot->kept[i], NULL));
}

/* ---- the receiver's side ------------------------------------------------------- */

int slab_check(int fd, size_t size)
{
	struct stat st;

	/* seals are memory's only: reading it never blocks */
	if (fcntl(fd, F_GET_SEALS) != SEALS || fstat(fd, &st) < 0 ||
	    (uint64_t)st.st_size < SLAB_OFFSET + (uint64_t)size)
		return -EBADMSG;
	return 0;
}

int slab_read(int fd, void *buffer, size_t size)
{
	const uint32_t is_free = 0;
	char *to = buffer;
	ssize_t n;

	for (size_t done = 0; done < size; done += (size_t)n) {
		n = pread(fd, to + done, size - done,
			  (off_t)(SLAB_OFFSET + done));
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return -EBADMSG;
	}
	(void)!pwrite(fd, &is_free, sizeof(is_free), 0);
	return 0;
}
