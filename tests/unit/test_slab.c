/* Slabs: used again when read, given up when not. */
#include "workers/shared/slab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/lib/unit.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static struct slab_views views;

/* How often memory of that name is mapped here. */
static int n_mapped(const char *name)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, name) != NULL;
	(void)fclose(f);
	return n;
}

static void expect(int fd, const char *text)
{
	char out[8] = "";

	ck_assert_int_eq(slab_read(&views, fd, out, sizeof(out)), 0);
	ck_assert(memcmp(out, text, sizeof(out)) == 0);
}

START_TEST(test_slabs)
{
	struct slab_depot depot = { .next = 0 };
	struct slab *a = NULL, *b = NULL;

	ck_assert_int_eq(slab_take(&depot, "12345678", 8, &a), 0);
	ck_assert_int_eq(slab_check(a->fd, a->room), 0);
	ck_assert_int_eq(slab_check(a->fd, a->room + 1), -EBADMSG);
	slab_keep(&depot, a);
	/* it is under way: another one is taken */
	ck_assert_int_eq(slab_take(&depot, "abcdefgh", 8, &b), 0);
	ck_assert_ptr_ne(a, b);
	slab_keep(&depot, b);
	expect(a->fd, "12345678");
	ck_assert_int_eq(slab_take(&depot, "ABCDEFGH", 8, &b), 0);
	ck_assert_ptr_eq(a, b); /* read: used again */
	slab_abandon(&depot, b);
	for (int i = 0; i < SLAB_KEPT * 2; i++) { /* nobody ever reads them */
		ck_assert_int_eq(slab_take(&depot, "12345678", 8, &a), 0);
		slab_keep(&depot, a);
	}
	slab_depot_done(&depot);
	slab_views_done(&views);
}
END_TEST

/* Of many that are under way at once, some are kept mapped, and none is taken for
 * another, also not one that was made when others had gone. */
START_TEST(test_views)
{
	struct slab_depot depot = { .next = 0 };
	struct slab *slabs[SLAB_KEPT];
	char text[16];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < SLAB_KEPT; i++) {
			(void)snprintf(text, sizeof(text), "%d of %3d", i,
				       round);
			ck_assert_int_eq(slab_take(&depot, text, 8, &slabs[i]),
					 0);
		}
		for (int i = SLAB_KEPT - 1; i >= 0; i--) {
			(void)snprintf(text, sizeof(text), "%d of %3d", i,
				       round);
			expect(slabs[i]->fd, text);
			slab_keep(&depot, slabs[i]);
		}
		ck_assert_int_eq(n_mapped("reeve-message"), 2 * SLAB_KEPT);
		if (round == 1)
			slab_depot_done(&depot);
	}
	slab_depot_done(&depot);
	ck_assert_int_eq(n_mapped("reeve-message"), SLAB_KEPT);
	slab_views_done(&views);
	ck_assert_int_eq(n_mapped("reeve-message"), 0);
}
END_TEST

/* The largest that is mapped, and the next. */
START_TEST(test_largest_view)
{
	struct slab_depot depot = { .next = 0 };
	char *data = calloc(1, SLAB_VIEW_MAX + 1), *out;
	struct slab *slab;

	ck_assert_ptr_nonnull(data);
	out = malloc(SLAB_VIEW_MAX + 1);
	ck_assert_ptr_nonnull(out);
	for (size_t more = 0; more < 2; more++) {
		size_t size = SLAB_VIEW_MAX + more;

		data[size - 1] = (char)('a' + more);
		ck_assert_int_eq(slab_take(&depot, data, size, &slab), 0);
		slab_keep(&depot, slab);
		ck_assert_int_eq(slab_read(&views, slab->fd, out, size), 0);
		ck_assert(memcmp(data, out, size) == 0);
		ck_assert_uint_eq(*slab->busy, 0);
		slab_depot_done(&depot);
		ck_assert_int_eq(n_mapped("reeve-message"), more == 0);
		slab_views_done(&views);
	}
	free(data);
	free(out);
}
END_TEST

/* Pages that the sender took away are zeros; huge ones, of which there may be
 * none to take their place, are not mapped (which can be, and so can be missed,
 * only on a machine that has some). */
START_TEST(test_hostile_memory)
{
	struct slab_depot depot = { .next = 0 };
	struct slab *slab;
	int huge = memfd_create("huge-message",
				MFD_CLOEXEC | MFD_HUGETLB | MFD_ALLOW_SEALING);

	ck_assert_int_eq(slab_take(&depot, "12345678", 8, &slab), 0);
	expect(slab->fd, "12345678");
	ck_assert_int_eq(fallocate(slab->fd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   0, SLAB_OFFSET + SLAB_OFFSET),
			 0);
	expect(slab->fd, "\0\0\0\0\0\0\0\0");
	slab_keep(&depot, slab);
	slab_depot_done(&depot);
	slab_views_done(&views);
	if (huge < 0)
		return; /* the kernel has none */
	ck_assert_int_eq(ftruncate(huge, 2 << 20), 0);
	ck_assert_int_eq(fcntl(huge, F_ADD_SEALS, SEALS), 0);
	ck_assert_int_eq(slab_check(huge, 8), 0);
	expect(huge, "\0\0\0\0\0\0\0\0");
	ck_assert_int_eq(n_mapped("huge-message"), 0);
	close(huge);
}
END_TEST

UNIT_MAIN("slab", test_slabs, test_views, test_largest_view,
	  test_hostile_memory)
