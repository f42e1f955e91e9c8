/* What a helper says of names, and what the daemon makes of it. */
#include "supervisor/daemon/names.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/fd.h"

static struct names names_of(const char *text)
{
	struct names names = { BUF_INIT(NAMES_MAX_BYTES) };

	ck_assert_int_eq(buf_puts(&names.text, text), 0);
	return names;
}

static void identity_done(struct identity *id)
{
	free(id->name);
	free(id->home);
	free(id->groups);
}

START_TEST(test_recall)
{
	struct names names =
		names_of("i\tweb\t-\t0\t33\t33\tweb\t/var/www\t33,4,\n"
			 "i\tweb\tstaff\t0\t33\t50\tweb\t/var/www\t\n"
			 "i\tnobody-here\t-\t-2\n"
			 "g\tops\t0\t77\n"
			 "g\tgone\t-20\t0\n");
	const struct conf_resolver r = names_resolver(&names);
	struct identity id = { 0 };
	gid_t gid = 1;

	ck_assert_int_eq(r.identity(r.userdata, "web", NULL, &id), 0);
	ck_assert_uint_eq(id.uid, 33);
	ck_assert_uint_eq(id.n_groups, 2);
	ck_assert_uint_eq(id.groups[1], 4);
	ck_assert_str_eq(id.home, "/var/www");
	identity_done(&id);
	ck_assert_int_eq(r.identity(r.userdata, "web", "staff", &id), 0);
	ck_assert_uint_eq(id.gid, 50);
	ck_assert_uint_eq(id.n_groups, 0);
	identity_done(&id);
	ck_assert_int_eq(r.identity(r.userdata, "nobody-here", NULL, &id),
			 -ENOENT);
	ck_assert_int_eq(r.group(r.userdata, "ops", &gid), 0);
	ck_assert_uint_eq(gid, 77);
	ck_assert_int_eq(r.group(r.userdata, "gone", &gid), -ENOTDIR);
	/* never asked: the file changed between the two looks */
	ck_assert_int_eq(r.identity(r.userdata, "we", NULL, &id), -EAGAIN);
	ck_assert_int_eq(r.group(r.userdata, "op", &gid), -EAGAIN);
	buf_done(&names.text);
}
END_TEST

/* The helper is ours, but what it writes may be cut off when it is killed. */
START_TEST(test_every_truncation)
{
	static const char full[] =
		"i\tweb\t-\t0\t33\t33\tweb\t/var/www\t33,4,\ng\tops\t0\t77\n";

	for (size_t n = 0; n < sizeof(full) - 1; n++) {
		char text[sizeof(full)];
		struct names names;
		struct conf_resolver r;
		struct identity id = { 0 };
		gid_t gid;
		int result;

		memcpy(text, full, n);
		text[n] = '\0';
		names = names_of(text);
		r = names_resolver(&names);
		result = r.identity(r.userdata, "web", NULL, &id);
		if (result == 0)
			identity_done(&id);
		(void)r.group(r.userdata, "ops", &gid);
		buf_done(&names.text);
	}
}
END_TEST

START_TEST(test_helper_tells_what_nss_says)
{
	const char *path = unit_file("x.ini", "[worker:a]\ncommand=/bin/true\n"
					      "user=root\n"
					      "[worker:b]\ncommand=/bin/true\n"
					      "user=no-such-user-here\n");
	struct names names = { BUF_INIT(NAMES_MAX_BYTES) };
	const struct conf_resolver r = names_resolver(&names);
	struct identity id = { 0 };
	char data[4096];
	int fds[2];
	ssize_t n;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(names_helper(path, false, fds[1]), 0);
	close(fds[1]);
	n = read(fds[0], data, sizeof(data));
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(buf_append(&names.text, data, (size_t)n), 0);
	close(fds[0]);
	ck_assert_int_eq(r.identity(r.userdata, "root", NULL, &id), 0);
	ck_assert_uint_eq(id.uid, 0);
	identity_done(&id);
	ck_assert_int_eq(r.identity(r.userdata, "no-such-user-here", NULL, &id),
			 -ENOENT);
	buf_done(&names.text);
}
END_TEST

UNIT_MAIN("names", test_recall, test_every_truncation,
	  test_helper_tells_what_nss_says)
