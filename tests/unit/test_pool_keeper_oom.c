/* The counter of the cgroup, from a file of our own. */
#include "workers/pool/keeper_oom.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/fd.h"

static void set_counter(const char *text)
{
	ck_assert_int_eq(truncate(unit_path("events"), 0), 0);
	ck_assert_int_eq(fd_write_file(AT_FDCWD, unit_path("events"), text), 0);
}

START_TEST(test_counts_each_kill_once)
{
	struct oom oom;
	const char *path = unit_file("events", "low 0\noom 9\noom_kill 3\n"
					       "oom_group_kill 7\n");

	oom_init(&oom, open(path, O_RDONLY | O_CLOEXEC));
	ck_assert_int_eq(oom_judge(&oom), OOM_NO);
	set_counter("low 0\noom 11\noom_kill 5\noom_group_kill 7\n");
	ck_assert_int_eq(oom_judge(&oom), OOM_YES);
	ck_assert_int_eq(oom_judge(&oom), OOM_YES);
	ck_assert_int_eq(oom_judge(&oom), OOM_NO);
	oom_done(&oom);
	ck_assert_int_eq(oom_judge(&oom), OOM_UNKNOWN);
}
END_TEST

START_TEST(test_unknown_without_a_counter)
{
	static const char *const texts[] = { "", "oom 5\n", "xoom_kill 5\n" };
	struct oom oom;

	oom_init(&oom, -1);
	ck_assert_int_eq(oom_judge(&oom), OOM_UNKNOWN);
	(void)unit_file("events", "");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		set_counter(texts[i]);
		oom_init(&oom, open(unit_path("events"), O_RDONLY | O_CLOEXEC));
		ck_assert_int_eq(oom_judge(&oom), OOM_UNKNOWN);
		ck_assert_int_eq(oom.fd, -1);
	}
}
END_TEST

/* Here it may be readable or not; it is opened and closed all the same. */
START_TEST(test_finds_our_own)
{
	struct oom oom;

	oom_open(&oom);
	ck_assert_int_eq(oom_judge(&oom) == OOM_UNKNOWN, oom.fd < 0);
	oom_done(&oom);
}
END_TEST

UNIT_MAIN("pool keeper oom", test_counts_each_kill_once,
	  test_unknown_without_a_counter, test_finds_our_own)
