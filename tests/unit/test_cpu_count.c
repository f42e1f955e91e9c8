/* cpu_count.c: affinity, and the quotas of made-up cgroups. */
#include "workers/process/cpu_count.h"

#include <sched.h>
#include <sys/stat.h>

#include "tests/unit/process_rig.h"

START_TEST(test_quotas)
{
	static const struct {
		const char *text;
		unsigned count;
	} cases[] = {
		{ "max 100000\n", 0 },
		{ "100000 100000\n", 1 },
		{ "100001 100000\n", 2 },
		{ "150000 100000", 2 },
		{ "1000 100000", 1 },
		{ "800000 100000", 8 },
		{ "9223372036854775807 1", UINT32_MAX },
		{ "0 100000", 0 },
		{ "100000 0", 0 },
		{ "", 0 },
		{ "100000", 0 },
		{ "-1 100000", 0 },
		{ "99999999999999999999999 1", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_uint_eq(cpu_count_of_quota(cases[i].text),
				  cases[i].count);
}
END_TEST

START_TEST(test_the_least_of_all_groups_above)
{
	const char *root = unit_tmpdir();

	ck_assert_uint_eq(cpu_count_of_group(root, ""), 0);
	ck_assert_int_eq(mkdir(unit_path("a"), 0755), 0);
	ck_assert_int_eq(mkdir(unit_path("a/b"), 0755), 0);
	(void)unit_file("a/b/cpu.max", "max 100000\n");
	ck_assert_uint_eq(cpu_count_of_group(root, "/a/b"), 0);
	(void)unit_file("a/cpu.max", "300000 100000\n");
	ck_assert_uint_eq(cpu_count_of_group(root, "/a/b"), 3);
	(void)unit_file("cpu.max", "500000 100000\n");
	ck_assert_uint_eq(cpu_count_of_group(root, "/a/b"), 3);
	ck_assert_uint_eq(cpu_count_of_group(root, ""), 5);
	ck_assert_uint_eq(cpu_count_of_group(root, "/a/b/gone"), 3);
}
END_TEST

START_TEST(test_affinity_bounds_it)
{
	cpu_set_t cpus, one;
	int cpu = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	ck_assert_uint_ge(reeve_cpu_count(), 1);
	ck_assert_uint_le(reeve_cpu_count(), (unsigned)CPU_COUNT(&cpus));
	while (!CPU_ISSET(cpu, &cpus))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	ck_assert_uint_eq(reeve_cpu_count(), 1);
}
END_TEST

UNIT_MAIN("cpu_count", test_quotas, test_the_least_of_all_groups_above,
	  test_affinity_bounds_it)
