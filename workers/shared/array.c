/* Shared arrays and values: a page with what they are and their lock, then the
 * elements.
 *
 * A handle keeps its own copy of type, length and element size: what stands in
 * the memory is believed once, when it was checked against the memory's size.
 *
 * The lock is a robust mutex. The elements are the program's, and only it can
 * repair them. That somebody died is to be told to
 * whoever takes the lock for more than one element; a get, set or add that comes
 * first leaves a note (died) for it.
 */
#include <reeve/shared.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/mutex.h"
#include "workers/shared/region.h"
#include "workers/shared/repair.h"

#define DATA_OFFSET 4096U

struct array_memory {
	struct region_head region;
	/* Since it was made: */
	uint32_t type, is_raw;
	uint64_t n_items, item_size;

	_Alignas(64) struct mutex lock;
	_Atomic uint32_t died; /* its holder; not yet told */
	_Atomic uint32_t
		again; /* how many times it is held besides the first */
};

_Static_assert(sizeof(struct array_memory) <= DATA_OFFSET, "data");

struct reeve_array {
	struct region region;
	struct array_memory *memory;
	char *data;
	size_t n_items, item_size;
	enum reeve_type type;
	bool is_raw;
};

struct reeve_value {
	reeve_array array;
};

static const struct {
	uint8_t size; /* 0: as the spec says */
	bool is_integer, is_signed;
} types[] = {
	[REEVE_BYTES] = { 0, false, false },
	[REEVE_BOOL] = { sizeof(bool), false, false },
	[REEVE_CHAR] = { 1, true, CHAR_MIN < 0 },
	[REEVE_SCHAR] = { 1, true, true },
	[REEVE_UCHAR] = { 1, true, false },
	[REEVE_SHORT] = { sizeof(short), true, true },
	[REEVE_USHORT] = { sizeof(short), true, false },
	[REEVE_INT] = { sizeof(int), true, true },
	[REEVE_UINT] = { sizeof(int), true, false },
	[REEVE_LONG] = { sizeof(long), true, true },
	[REEVE_ULONG] = { sizeof(long), true, false },
	[REEVE_LLONG] = { sizeof(long long), true, true },
	[REEVE_ULLONG] = { sizeof(long long), true, false },
	[REEVE_FLOAT] = { sizeof(float), false, true },
	[REEVE_DOUBLE] = { sizeof(double), false, true },
	[REEVE_LDOUBLE] = { sizeof(long double), false, true },
};

/* ---- the lock ----------------------------------------------------------------- */

static uint64_t end_of(uint64_t timeout_usec)
{
	if (timeout_usec == 0 || timeout_usec == REEVE_FOREVER)
		return timeout_usec;
	return usec_add(clock_monotonic_usec(), timeout_usec);
}

/* The lock is ours. Who dies in the middle of this is found dead as well. */
static void find_dead(struct array_memory *m)
{
	atomic_store(&m->died, 1);
	atomic_store(&m->again, 0);
}

_seldom_ static int lock_slowly(struct array_memory *m, int r,
				uint64_t timeout_usec)
{
	if (r == -ETIMEDOUT && timeout_usec > 0)
		r = mutex_lock(&m->lock, end_of(timeout_usec));
	else if (r == -ETIMEDOUT)
		return -EAGAIN;
	if (r == -EDEADLK) {
		atomic_fetch_add(&m->again, 1);
		return 0;
	}
	if (r != 1)
		return r;
	find_dead(m);
	return 0;
}

static inline int lock(reeve_array *a, uint64_t timeout_usec)
{
	int r = mutex_lock(&a->memory->lock, 0);

	return r == 0 ? 0 : lock_slowly(a->memory, r, timeout_usec);
}

_seldom_ static int unlock_once(struct array_memory *m)
{
	if (!mutex_is_held(&m->lock))
		return -EPERM;
	atomic_fetch_sub(&m->again, 1);
	return 0;
}

static inline int unlock(reeve_array *a)
{
	struct array_memory *m = a->memory;

	if (atomic_load_explicit(&m->again, memory_order_relaxed) > 0)
		return unlock_once(m);
	return mutex_unlock(&m->lock);
}

int reeve_array_acquire(reeve_array *a, uint64_t timeout_usec)
{
	int r;

	if (!a)
		return -EINVAL;
	if (a->is_raw)
		return -EOPNOTSUPP;
	r = lock(a, timeout_usec);
	if (r < 0)
		return r;
	if (atomic_load_explicit(&a->memory->died, memory_order_relaxed) == 0)
		return 0;
	atomic_store(&a->memory->died, 0);
	return -EOWNERDEAD;
}

int reeve_array_release(reeve_array *a)
{
	if (!a)
		return -EINVAL;
	return a->is_raw ? -EOPNOTSUPP : unlock(a);
}

/* ---- one element ------------------------------------------------------------------ */

/* The shared side in one step if its size allows; the other need not be aligned. */
#define LOAD(type, item, ret)                                                  \
	do {                                                                   \
		type v_ = __atomic_load_n((const type *)(item),                \
					  __ATOMIC_SEQ_CST);                   \
		memcpy(ret, &v_, sizeof(v_));                                  \
	} while (0)
#define STORE(type, item, from)                                                \
	do {                                                                   \
		type v_;                                                       \
		memcpy(&v_, from, sizeof(v_));                                 \
		__atomic_store_n((type *)(item), v_, __ATOMIC_SEQ_CST);        \
	} while (0)

static void load_item(const void *item, size_t size, void *ret)
{
	switch (size) {
	case 1:
		LOAD(uint8_t, item, ret);
		break;
	case 2:
		LOAD(uint16_t, item, ret);
		break;
	case 4:
		LOAD(uint32_t, item, ret);
		break;
	case 8:
		LOAD(uint64_t, item, ret);
		break;
	default:
		memcpy(ret, item, size);
		break;
	}
}

static void store_item(void *item, size_t size, const void *from)
{
	switch (size) {
	case 1:
		STORE(uint8_t, item, from);
		break;
	case 2:
		STORE(uint16_t, item, from);
		break;
	case 4:
		STORE(uint32_t, item, from);
		break;
	case 8:
		STORE(uint64_t, item, from);
		break;
	default:
		memcpy(item, from, size);
		break;
	}
}

/* Adds, and returns the sum, sign-extended if it has a sign. */
static int64_t add(void *item, size_t size, bool is_signed, int64_t delta)
{
	int shift = 64 - (int)size * 8;
	uint64_t sum = 0, d = (uint64_t)delta;

	switch (size) {
	case 1:
		sum = __atomic_add_fetch((uint8_t *)item, (uint8_t)d,
					 __ATOMIC_SEQ_CST);
		break;
	case 2:
		sum = __atomic_add_fetch((uint16_t *)item, (uint16_t)d,
					 __ATOMIC_SEQ_CST);
		break;
	case 4:
		sum = __atomic_add_fetch((uint32_t *)item, (uint32_t)d,
					 __ATOMIC_SEQ_CST);
		break;
	default:
		sum = __atomic_add_fetch((uint64_t *)item, d, __ATOMIC_SEQ_CST);
		break;
	}
	return is_signed ? (int64_t)(sum << shift) >> shift : (int64_t)sum;
}

/* Finds element index, with the lock if there is one; end_item() follows. */
static int begin_item(reeve_array *a, size_t index, void **ret)
{
	int r;

	if (index >= a->n_items)
		return -ERANGE;
	r = a->is_raw ? 0 : lock(a, REEVE_FOREVER);
	if (r == 0)
		*ret = a->data + index * a->item_size;
	return r;
}

static void end_item(reeve_array *a)
{
	if (!a->is_raw)
		(void)unlock(a);
}

int reeve_array_get(reeve_array *a, size_t index, void *ret_item)
{
	void *item = NULL;
	int r;

	if (!a || !ret_item)
		return -EINVAL;
	r = begin_item(a, index, &item);
	if (r != 0)
		return r;
	load_item(item, a->item_size, ret_item);
	end_item(a);
	return 0;
}

int reeve_array_set(reeve_array *a, size_t index, const void *from)
{
	void *item = NULL;
	int r;

	if (!a || !from)
		return -EINVAL;
	r = begin_item(a, index, &item);
	if (r != 0)
		return r;
	store_item(item, a->item_size, from);
	end_item(a);
	return 0;
}

int reeve_array_add(reeve_array *a, size_t index, int64_t delta,
		    int64_t *ret_sum)
{
	void *item = NULL;
	int64_t sum;
	int r;

	if (!a)
		return -EINVAL;
	if (!types[a->type].is_integer)
		return -EOPNOTSUPP;
	r = begin_item(a, index, &item);
	if (r != 0)
		return r;
	sum = add(item, a->item_size, types[a->type].is_signed, delta);
	end_item(a);
	if (ret_sum)
		*ret_sum = sum;
	return 0;
}

/* ---- its life ------------------------------------------------------------------------ */

/* Element size of a spec or a memory: 0 if it cannot be. */
static uint64_t item_size_of(uint64_t type, uint64_t size)
{
	if (type >= ARRAY_SIZE(types))
		return 0;
	if (types[type].size > 0)
		return size == 0 || size == types[type].size ? types[type].size
							     : 0;
	return size ? size : 1;
}

static void array_set(reeve_array *a, enum reeve_type type, uint64_t n_items,
		      uint64_t item_size)
{
	a->memory = (struct array_memory *)(void *)a->region.head;
	a->data = (char *)a->region.head + DATA_OFFSET;
	a->type = type;
	a->n_items = n_items;
	a->item_size = item_size;
	a->is_raw = a->memory->is_raw != 0;
}

/* Into a zeroed handle, of an array or of a value. */
static int array_make(reeve_array *a, const struct reeve_array_spec *s)
{
	uint64_t size = item_size_of(s->type, s->item_size_bytes);
	struct array_memory *m;
	int r;

	if (size == 0 || s->n_items == 0)
		return -EINVAL;
	if (s->n_items > REEVE_ARRAY_BYTES_MAX / size)
		return -EFBIG;
	r = region_new(REGION_ARRAY, DATA_OFFSET + s->n_items * size,
		       &a->region);
	if (r < 0)
		return r;
	m = (struct array_memory *)(void *)a->region.head;
	m->type = s->type;
	m->n_items = s->n_items;
	m->item_size = size;
	m->is_raw = s->is_raw;
	array_set(a, s->type, s->n_items, size);
	return 0;
}

static int array_find(reeve_array *a, int fd)
{
	struct array_memory *m;
	uint64_t size, n;
	uint32_t type;
	int r;

	r = region_open(fd, REGION_ARRAY, DATA_OFFSET + 1, &a->region);
	if (r < 0)
		return r;
	m = (struct array_memory *)(void *)a->region.head;
	type = m->type;
	size = m->item_size;
	n = m->n_items;
	if (size == 0 || item_size_of(type, size) != size || n == 0 ||
	    n > REEVE_ARRAY_BYTES_MAX / size ||
	    a->region.size != DATA_OFFSET + n * size)
		return -EBADMSG;
	array_set(a, (enum reeve_type)type, n, size);
	return 0;
}

reeve_array *reeve_array_free(reeve_array *a)
{
	if (!a)
		return NULL;
	if (a->memory && mutex_is_held_here(&a->memory->lock)) {
		find_dead(a->memory);
		(void)mutex_unlock(&a->memory->lock);
	}
	region_done(&a->region);
	free(a);
	return NULL;
}

static void free_array(reeve_array **a)
{
	(void)reeve_array_free(*a);
}

static reeve_array *handle_new(void)
{
	reeve_array *a = calloc(1, sizeof(*a));

	if (a)
		a->region = REGION_NONE;
	return a;
}

int reeve_array_new(const struct reeve_array_spec *spec, reeve_array **ret)
{
	_cleanup_(free_array) reeve_array *a = NULL;
	int r;

	if (!spec || !ret)
		return -EINVAL;
	a = handle_new();
	if (!a)
		return -ENOMEM;
	r = array_make(a, spec);
	if (r == 0)
		*ret = TAKE(a);
	return r;
}

int reeve_array_open(int fd, reeve_array **ret)
{
	_cleanup_(free_array) reeve_array *a = NULL;
	int r;

	if (!ret)
		return -EINVAL;
	a = handle_new();
	if (!a)
		return -ENOMEM;
	r = array_find(a, fd);
	if (r == 0)
		*ret = TAKE(a);
	return r;
}

int reeve_array_fd(const reeve_array *a)
{
	return a ? a->region.fd : -EINVAL;
}

void *reeve_array_data(const reeve_array *a)
{
	return a ? a->data : NULL;
}

size_t reeve_array_length(const reeve_array *a)
{
	return a ? a->n_items : 0;
}

size_t reeve_array_item_size(const reeve_array *a)
{
	return a ? a->item_size : 0;
}

enum reeve_type reeve_array_type(const reeve_array *a)
{
	return a ? a->type : REEVE_BYTES;
}

/* ---- values: arrays of one -------------------------------------------------------------- */

int reeve_value_new(enum reeve_type type, bool is_raw, reeve_value **ret)
{
	struct reeve_array_spec spec = { .type = type,
					 .n_items = 1,
					 .is_raw = is_raw };
	reeve_array *a = NULL;
	int r;

	if (!ret || type == REEVE_BYTES)
		return -EINVAL;
	r = reeve_array_new(&spec, &a);
	if (r == 0)
		*ret = container_of(a, reeve_value, array);
	return r;
}

int reeve_value_open(int fd, reeve_value **ret)
{
	_cleanup_(free_array) reeve_array *a = NULL;
	int r;

	if (!ret)
		return -EINVAL;
	r = reeve_array_open(fd, &a);
	if (r < 0)
		return r;
	if (a->n_items != 1 || a->type == REEVE_BYTES)
		return -EBADMSG;
	*ret = container_of(TAKE(a), reeve_value, array);
	return 0;
}

reeve_value *reeve_value_free(reeve_value *v)
{
	(void)reeve_array_free(v ? &v->array : NULL);
	return NULL;
}

int reeve_value_fd(const reeve_value *v)
{
	return reeve_array_fd(v ? &v->array : NULL);
}

void *reeve_value_data(const reeve_value *v)
{
	return reeve_array_data(v ? &v->array : NULL);
}

int reeve_value_acquire(reeve_value *v, uint64_t timeout_usec)
{
	return reeve_array_acquire(v ? &v->array : NULL, timeout_usec);
}

int reeve_value_release(reeve_value *v)
{
	return reeve_array_release(v ? &v->array : NULL);
}

int reeve_value_get(reeve_value *v, void *ret_item)
{
	return reeve_array_get(v ? &v->array : NULL, 0, ret_item);
}

int reeve_value_set(reeve_value *v, const void *item)
{
	return reeve_array_set(v ? &v->array : NULL, 0, item);
}

int reeve_value_add(reeve_value *v, int64_t delta, int64_t *ret_sum)
{
	return reeve_array_add(v ? &v->array : NULL, 0, delta, ret_sum);
}

/* ---- for the parent of a process that ended ----------------------------------------- */

static void repair_array(const struct patient *p)
{
	struct array_memory *m = p->memory;

	mutex_nudge(&m->lock); /* the kernel did the rest */
}

const struct repair_way array_repair = { sizeof(struct array_memory),
					 repair_array };
