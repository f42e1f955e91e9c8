/* Slabs: used again when read, given up when not. */
#include "workers/shared/slab.h"

#include <errno.h>
#include <string.h>

#include "tests/lib/unit.h"

START_TEST(test_slabs)
{
	struct slab_depot depot = { .next = 0 };
	struct slab *a = NULL, *b = NULL;
	char out[8] = "";

	ck_assert_int_eq(slab_take(&depot, "12345678", 8, &a), 0);
	ck_assert_int_eq(slab_check(a->fd, a->room), 0);
	ck_assert_int_eq(slab_check(a->fd, a->room + 1), -EBADMSG);
	slab_keep(&depot, a);
	/* it is under way: another one is taken */
	ck_assert_int_eq(slab_take(&depot, "abcdefgh", 8, &b), 0);
	ck_assert_ptr_ne(a, b);
	slab_keep(&depot, b);
	ck_assert_int_eq(slab_read(a->fd, out, 8), 0);
	ck_assert(memcmp(out, "12345678", 8) == 0);
	ck_assert_int_eq(slab_take(&depot, "ABCDEFGH", 8, &b), 0);
	ck_assert_ptr_eq(a, b); /* read: used again */
	slab_abandon(&depot, b);
	for (int i = 0; i < SLAB_KEPT * 2; i++) { /* nobody ever reads them */
		ck_assert_int_eq(slab_take(&depot, "12345678", 8, &a), 0);
		slab_keep(&depot, a);
	}
	slab_depot_done(&depot);
}
END_TEST

UNIT_MAIN("slab", test_slabs)
