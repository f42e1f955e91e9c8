/* NSS as this machine has it: root, and ids that nobody has. */
#include "conf/conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"

static int find(const char *user, const char *group,
		struct identity *ret_identity)
{
	return conf_resolver_nss.identity(NULL, user, group, ret_identity);
}

static void identity_done(struct identity *id)
{
	free(id->name);
	free(id->home);
	free(id->groups);
	*id = (struct identity){ 0 };
}

START_TEST(test_root)
{
	static const char *const names[] = { "root", "0" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct identity id;

		ck_assert_int_eq(find(names[i], NULL, &id), 0);
		ck_assert(id.is_set);
		ck_assert_uint_eq(id.uid, 0);
		ck_assert_uint_eq(id.gid, 0);
		ck_assert_str_eq(id.name, "root");
		ck_assert_int_eq(id.home[0], '/');
		ck_assert_uint_ge(id.n_groups, 1);
		identity_done(&id);
	}
}
END_TEST

START_TEST(test_group)
{
	struct identity id;
	gid_t gid = 4711;

	/* Debian's fixed numbers */
	ck_assert_int_eq(find("root", "daemon", &id), 0);
	ck_assert_uint_eq(id.gid, 1);
	ck_assert_uint_eq(id.groups[0], 1);
	identity_done(&id);
	ck_assert_int_eq(find("root", "54321", &id), 0);
	ck_assert_uint_eq(id.gid, 54321);
	identity_done(&id);
	ck_assert_int_eq(conf_resolver_nss.group(NULL, "root", &gid), 0);
	ck_assert_uint_eq(gid, 0);
	ck_assert_int_eq(conf_resolver_nss.group(NULL, "1", &gid), 0);
	ck_assert_uint_eq(gid, 1);
}
END_TEST

START_TEST(test_missing)
{
	static const struct {
		const char *user, *group;
		int r;
	} rows[] = {
		{ "reeve-nobody-has-this", NULL, -ENOENT },
		{ "root", "reeve-nobody-has-this", -ENOTDIR },
		{ "", NULL, -ENOENT },
		{ "54321", NULL, -ENOENT },
		{ "4294967295", "0", -ENOENT }, /* means "none" */
		{ "99999999999999999999", "0", -ENOENT },
		{ "-1", "0", -ENOENT },
		{ "54321", "reeve-nobody-has-this", -ENOTDIR },
		{ "root", "4294967295", -ENOTDIR },
	};
	gid_t gid = 4711;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct identity id = { .uid = 4711 };

		ck_assert_int_eq(find(rows[i].user, rows[i].group, &id),
				 rows[i].r);
		ck_assert_uint_eq(id.uid, 4711);
	}
	ck_assert_int_eq(conf_resolver_nss.group(NULL, "reeve-no-such", &gid),
			 -ENOTDIR);
	ck_assert_uint_eq(gid, 4711);
}
END_TEST

/* Containers run with numbers that no file knows. */
START_TEST(test_number_without_name)
{
	struct identity id;

	ck_assert_int_eq(find("54321", "54322", &id), 0);
	ck_assert(id.is_set);
	ck_assert_uint_eq(id.uid, 54321);
	ck_assert_uint_eq(id.gid, 54322);
	ck_assert_uint_eq(id.n_groups, 1);
	ck_assert_uint_eq(id.groups[0], 54322);
	ck_assert_ptr_null(id.name);
	ck_assert_ptr_null(id.home);
	identity_done(&id);
}
END_TEST

UNIT_MAIN("conf_identity", test_root, test_group, test_missing,
	  test_number_without_name)
