/* Slabs: made, filled, kept, read. Both sides have those that were used lately
 * mapped, and fill and read them by a plain copy.
 */
#include "workers/shared/slab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
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
	slab->fd = fd_lift(
		memfd_create("reeve-message", MFD_CLOEXEC | MFD_ALLOW_SEALING));
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

struct slab_view {
	char *memory;
	_Atomic uint32_t *busy;
	size_t size;
	dev_t dev;
	ino_t ino;
};

static void view_free(struct slab_view *view)
{
	if (!view)
		return;
	(void)munmap(view->memory, view->size);
	free(view);
}

/* NULL: it is to be read by calls. */
static struct slab_view *view_new(int fd, const struct stat *st)
{
	struct slab_view *view;
	struct statfs fs;
	void *p;

	/* huge pages there may be none of, and then who looks is killed */
	if (st->st_size > (off_t)(SLAB_OFFSET + SLAB_VIEW_MAX) ||
	    fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return NULL;
	view = calloc(1, sizeof(*view));
	if (!view)
		return NULL;
	view->size = (size_t)st->st_size;
	p = mmap(NULL, view->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		free(view);
		return NULL;
	}
	view->memory = p;
	view->busy = p;
	view->dev = st->st_dev;
	view->ino = st->st_ino;
	return view;
}

static void view_keep(struct slab_views *views, struct slab_view *view)
{
	struct slab_view *none;
	uint32_t i;

	for (i = 0; i < SLAB_KEPT; i++) {
		none = NULL;
		if (atomic_compare_exchange_strong(&views->kept[i], &none,
						   view))
			return;
	}
	i = atomic_fetch_add(&views->next, 1) % SLAB_KEPT;
	view_free(atomic_exchange(&views->kept[i], view));
}

static bool is_view_of(const struct slab_view *view, const struct stat *st)
{
	return view->ino == st->st_ino && view->dev == st->st_dev;
}

/* Its view, which is the caller's until view_keep(); or NULL. */
static struct slab_view *view_take(struct slab_views *views, int fd)
{
	struct slab_view *view;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	for (int i = 0; i < SLAB_KEPT; i++) {
		view = atomic_exchange(&views->kept[i], NULL);
		if (view && is_view_of(view, &st))
			return view;
		if (view)
			view_keep(views, view);
	}
	return view_new(fd, &st);
}

static int read_by_calls(int fd, void *buffer, size_t size)
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

int slab_read(struct slab_views *views, int fd, void *buffer, size_t size)
{
	struct slab_view *view = view_take(views, fd);

	if (!view)
		return read_by_calls(fd, buffer, size);
	memcpy(buffer, view->memory + SLAB_OFFSET, size);
	atomic_store_explicit(view->busy, 0, memory_order_release);
	view_keep(views, view);
	return 0;
}

void slab_views_done(struct slab_views *views)
{
	for (int i = 0; i < SLAB_KEPT; i++)
		view_free(atomic_exchange(&views->kept[i], NULL));
}
