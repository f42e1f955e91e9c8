#include "supervisor/daemon/logpath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/fd.h"

#define STRANGER 54321 /* uids that own nothing here */
#define OTHER	 54322

static int open_tmpdir(void)
{
	int fd = open(unit_tmpdir(), O_PATH | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* What logpath_open_dir() says of path; 0: it is directory dir. */
static int opens(const char *path, const char *dir)
{
	const char *name = NULL;
	struct stat want, found;
	int fd = logpath_open_dir(path, &name);

	if (fd < 0) {
		ck_assert_ptr_null(name);
		return fd;
	}
	ck_assert_int_eq(fstat(fd, &found), 0);
	ck_assert_int_eq(stat(dir, &want), 0);
	ck_assert_uint_eq(found.st_ino, want.st_ino);
	ck_assert_uint_eq(found.st_dev, want.st_dev);
	ck_assert_str_eq(name,
			 strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	fd_close(fd);
	return 0;
}

static void make_dir(const char *name)
{
	ck_assert_int_eq(mkdir(unit_path(name), 0700), 0);
}

static void make_link(const char *target, const char *name)
{
	ck_assert_int_eq(symlink(target, unit_path(name)), 0);
}

START_TEST(test_directories)
{
	const char *dir = unit_tmpdir();

	make_dir("a");
	make_dir("a/b");
	unit_file("file", "");
	ck_assert_int_eq(opens("/x.log", "/"), 0);
	ck_assert_int_eq(opens("x.log", "."), 0);
	ck_assert_int_eq(opens("./x.log", "."), 0);
	ck_assert_int_eq(opens(unit_path("x.log"), dir), 0);
	ck_assert_int_eq(opens(unit_path("a/b/x.log"), unit_path("a/b")), 0);
	ck_assert_int_eq(opens(unit_path("a//b///x.log"), unit_path("a/b")), 0);
	ck_assert_int_eq(opens(unit_path("a/./b/../x.log"), unit_path("a")), 0);
	ck_assert_int_eq(opens("", dir), -ENOENT);
	ck_assert_int_eq(opens(unit_path("a/"), dir), -EISDIR);
	ck_assert_int_eq(opens(unit_path("a/."), dir), -EISDIR);
	ck_assert_int_eq(opens(unit_path("a/.."), dir), -EISDIR);
	ck_assert_int_eq(opens(unit_path("none/x.log"), dir), -ENOENT);
	ck_assert_int_eq(opens(unit_path("file/x.log"), dir), -ENOTDIR);
}
END_TEST

/* A path of len bytes, made of "./" in front of "x". */
static char *long_path(size_t len)
{
	char *path = malloc(len + 1);

	ck_assert_ptr_nonnull(path);
	for (size_t i = 0; i < len; i++)
		path[i] = i % 2 ? '/' : '.';
	path[len - 1] = 'x';
	path[len] = '\0';
	return path;
}

START_TEST(test_lengths)
{
	char name[NAME_MAX + 2], path[NAME_MAX + 8];
	char *fits = long_path(PATH_MAX - 1), *longer = long_path(PATH_MAX + 1);

	memset(name, 'n', sizeof(name) - 1);
	name[NAME_MAX + 1] = '\0';
	ck_assert_int_eq(opens(name, "."), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "%s/x", name);
	ck_assert_int_eq(opens(path, "."), -ENAMETOOLONG);
	name[NAME_MAX] = '\0';
	ck_assert_int_eq(opens(name, "."), 0);
	snprintf(path, sizeof(path), "%s/x", name);
	ck_assert_int_eq(opens(path, "."), -ENOENT);
	ck_assert_int_eq(opens(fits, "."), 0);
	ck_assert_int_eq(opens(longer, "."), -ENAMETOOLONG);
	free(fits);
	free(longer);
}
END_TEST

START_TEST(test_own_links_are_followed)
{
	char chain[16], next[16];

	make_dir("a");
	make_dir("a/b");
	make_link("a/b", "relative");
	make_link(unit_path("a"), "absolute");
	make_link("../../relative", "a/b/back");
	make_link("nowhere", "dangling");
	make_link("loop", "loop");
	ck_assert_int_eq(opens(unit_path("relative/x"), unit_path("a/b")), 0);
	ck_assert_int_eq(opens(unit_path("absolute/b/x"), unit_path("a/b")), 0);
	ck_assert_int_eq(
		opens(unit_path("absolute/b/back/../x"), unit_path("a")), 0);
	ck_assert_int_eq(opens(unit_path("dangling/x"), "/"), -ENOENT);
	ck_assert_int_eq(opens(unit_path("loop/x"), "/"), -ELOOP);
	make_link("a", "link1");
	for (int i = 2; i <= LOGPATH_LINKS_MAX + 1; i++) {
		snprintf(next, sizeof(next), "link%d", i - 1);
		snprintf(chain, sizeof(chain), "link%d", i);
		make_link(next, chain);
	}
	snprintf(chain, sizeof(chain), "link%d/x", LOGPATH_LINKS_MAX);
	ck_assert_int_eq(opens(unit_path(chain), unit_path("a")), 0);
	snprintf(chain, sizeof(chain), "link%d/x", LOGPATH_LINKS_MAX + 1);
	ck_assert_int_eq(opens(unit_path(chain), unit_path("a")), -ELOOP);
}
END_TEST

/* A link that, put in front of the rest, makes the path too long. */
START_TEST(test_link_that_makes_it_too_long)
{
	char target[PATH_MAX], path[PATH_MAX];

	memset(target, '/', sizeof(target));
	target[4000] = '\0';
	make_link(target, "long");
	snprintf(path, sizeof(path), "%s/%.*s/x", unit_path("long"), 80,
		 "./././././././././././././././././././././././././././././."
		 "/././././././././././././.");
	ck_assert_int_eq(opens(unit_path("long/x"), "/"), 0);
	ck_assert_int_eq(opens(path, "/"), 0);
	snprintf(path, sizeof(path), "%s%.*s/x", unit_path("long"), 100,
		 target);
	ck_assert_int_eq(opens(path, "/"), -ENAMETOOLONG);
}
END_TEST

static void give(const char *name, uid_t uid)
{
	ck_assert_int_eq(lchown(unit_path(name), uid, (gid_t)-1), 0);
}

START_TEST(test_links_of_others)
{
	static const struct {
		const char *path;
		int want;
	} cases[] = {
		{ "srv/logs/x", -ELOOP },  /* into root's */
		{ "srv/etc/x", -ELOOP },   /* /etc itself */
		{ "srv/current/x", 0 },	   /* into his own */
		{ "srv/twice/x", 0 },	   /* over two links of his */
		{ "srv/gift/x", -ELOOP },  /* into another user's */
		{ "srv/other/x", -ELOOP }, /* over links of two users */
		{ "srv/trust/x", 0 },	   /* root's link, anywhere */
		{ "srv/logs/../x", -ELOOP },
	};

	if (geteuid() != 0) {
		puts("SKIP: links of other users need root");
		return;
	}
	ck_assert_int_eq(chmod(unit_tmpdir(), 0755), 0);
	make_dir("secret");
	make_dir("srv");
	make_dir("srv/releases");
	make_dir("srv/hers");
	make_link("../secret", "srv/logs");
	make_link("/etc", "srv/etc");
	make_link("releases", "srv/current");
	make_link("current", "srv/twice");
	make_link("hers", "srv/gift");
	make_link("current", "srv/other");
	make_link("../secret", "srv/trust");
	give("srv", STRANGER);
	give("srv/releases", STRANGER);
	give("srv/hers", OTHER);
	give("srv/logs", STRANGER);
	give("srv/etc", STRANGER);
	give("srv/current", STRANGER);
	give("srv/twice", STRANGER);
	give("srv/gift", STRANGER);
	give("srv/other", OTHER);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *path = unit_path(cases[i].path), *name;
		int fd = logpath_open_dir(path, &name);

		ck_assert_msg(cases[i].want == 0 ? fd >= 0
						 : fd == cases[i].want,
			      "%s: %d", cases[i].path, fd);
		fd_close(fd);
	}
}
END_TEST

/* What logpath_open_file() says of name; 0: it was opened as it should. */
static int opens_file(const char *name, bool must_be_new)
{
	int flags, fd, dir_fd = open_tmpdir();
	struct stat st = { 0 }, found;

	fd = logpath_open_file(dir_fd, name, 0640, must_be_new, &st);
	fd_close(dir_fd);
	if (fd < 0) {
		ck_assert_uint_eq(st.st_ino, 0);
		return fd;
	}
	flags = fcntl(fd, F_GETFL);
	ck_assert_int_eq(flags & O_ACCMODE, O_WRONLY);
	ck_assert(flags & O_APPEND);
	ck_assert(flags & O_NONBLOCK);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fstat(fd, &found), 0);
	ck_assert_uint_eq(st.st_ino, found.st_ino);
	fd_close(fd);
	return 0;
}

START_TEST(test_files)
{
	struct stat st;

	umask(0022);
	ck_assert_int_eq(opens_file("new", false), 0);
	ck_assert_int_eq(stat(unit_path("new"), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0640);
	ck_assert_int_eq(opens_file("new", false), 0);
	ck_assert_int_eq(opens_file("new", true), -EEXIST);
	ck_assert_int_eq(opens_file("newer", true), 0);
	make_dir("dir");
	ck_assert_int_eq(opens_file("dir", false), -EISDIR);
	ck_assert_int_eq(opens_file("none/x", false), -ENOENT);
}
END_TEST

START_TEST(test_links_to_files_are_refused)
{
	struct stat st;

	unit_file("target", "secret");
	make_link("target", "link");
	make_link("made", "dangling");
	ck_assert_int_eq(link(unit_path("target"), unit_path("hard")), 0);
	ck_assert_int_eq(opens_file("link", false), -ELOOP);
	ck_assert_int_eq(opens_file("dangling", false), -ELOOP);
	ck_assert_int_eq(stat(unit_path("made"), &st), -1);
	ck_assert_int_eq(opens_file("hard", false), -EMLINK);
	ck_assert_int_eq(opens_file("target", false), -EMLINK);
	ck_assert_int_eq(unlink(unit_path("hard")), 0);
	ck_assert_int_eq(opens_file("target", false), 0);
}
END_TEST

START_TEST(test_special_files)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fifo, sock, fd, dev = open("/dev", O_PATH | O_CLOEXEC);
	struct stat st;

	ck_assert_int_eq(mkfifo(unit_path("fifo"), 0600), 0);
	ck_assert_int_eq(opens_file("fifo", false), -EINVAL); /* no reader */
	fifo = open(unit_path("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(fifo, 0);
	ck_assert_int_eq(opens_file("fifo", false), -EINVAL);
	fd_close(fifo);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s",
		 unit_path("socket"));
	ck_assert_int_eq(
		bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(opens_file("socket", false), -EINVAL);
	fd_close(sock);
	fd = logpath_open_file(dev, "null", 0640, false, &st);
	ck_assert_int_ge(fd, 0);
	ck_assert(S_ISCHR(st.st_mode));
	fd_close(fd);
	fd_close(dev);
}
END_TEST

START_TEST(test_is_file)
{
	int dir_fd = open_tmpdir();
	struct stat st, other;

	ck_assert_int_eq(stat(unit_file("a", ""), &st), 0);
	ck_assert_int_eq(stat(unit_file("b", ""), &other), 0);
	make_link("a", "link");
	ck_assert(logpath_is_file(dir_fd, "a", &st));
	ck_assert(!logpath_is_file(dir_fd, "a", &other));
	ck_assert(!logpath_is_file(dir_fd, "link", &st));
	ck_assert(!logpath_is_file(dir_fd, "none", &st));
	fd_close(dir_fd);
}
END_TEST

/* Files are described by a string: the content ("-": none) of x, x.1, .2 ...;
 * their content is one letter each. */
static void lay(const char *files)
{
	char name[16], text[2] = "";

	for (int i = 0; files[i]; i++) {
		snprintf(name, sizeof(name), i ? "x.%d" : "x", i);
		text[0] = files[i];
		(void)unlink(unit_path(name));
		if (files[i] != '-')
			unit_file(name, text);
	}
}

static void check_laid(const char *files)
{
	char name[16];
	char *text;
	size_t len;

	for (int i = 0; files[i]; i++) {
		snprintf(name, sizeof(name), i ? "x.%d" : "x", i);
		if (files[i] == '-') {
			ck_assert_int_eq(access(unit_path(name), F_OK), -1);
			continue;
		}
		ck_assert_int_eq(
			fd_read_file(-1, unit_path(name), 10, &text, &len), 0);
		ck_assert_msg(text[0] == files[i], "%s: %s, want %s", name,
			      text, files);
		free(text);
	}
}

START_TEST(test_shift)
{
	static const struct {
		uint32_t backups;
		const char *before, *after;
	} cases[] = {
		{ 1, "a---", "-a--" },
		{ 1, "ab--", "-a--" },
		{ 1, "abc-", "-ac-" },
		{ 3, "a----", "-a---" },
		{ 3, "ab---", "-ab--" },
		{ 3, "abcd-", "-abc-" },
		{ 3, "abcde", "-abce" },
		{ 3, "a-cd-", "-acd-" },
		{ 3, "ab-d-", "-abd-" },
		{ 10, "abcdefghijk-", "-abcdefghij-" },
		{ 10, "abcdefghij--", "-abcdefghij-" },
	};
	int dir_fd = open_tmpdir();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		lay(cases[i].before);
		ck_assert_int_eq(logpath_shift(dir_fd, "x", cases[i].backups),
				 0);
		check_laid(cases[i].after);
	}
	lay("-b--");
	ck_assert_int_eq(logpath_unshift(dir_fd, "x"), 0);
	check_laid("b---");
	ck_assert_int_eq(logpath_unshift(dir_fd, "x"), -ENOENT);
	fd_close(dir_fd);
}
END_TEST

/* A shift that fails loses nothing, however often it is tried. */
START_TEST(test_shift_that_fails)
{
	char name[NAME_MAX + 1];
	int dir_fd = open_tmpdir();

	make_dir("x.2");
	for (int i = 0; i < 3; i++) {
		lay("ab");
		ck_assert_int_eq(logpath_shift(dir_fd, "x", 2), -EISDIR);
		check_laid("ab");
	}
	ck_assert_int_eq(logpath_shift(dir_fd, "none", 1), -ENOENT);
	memset(name, 'n', NAME_MAX - 1);
	name[NAME_MAX - 1] = '\0';
	unit_file(name, "");
	ck_assert_int_eq(logpath_shift(dir_fd, name, 1), -ENAMETOOLONG);
	ck_assert_int_eq(access(unit_path(name), F_OK), 0);
	name[NAME_MAX - 2] = '\0';
	unit_file(name, "");
	ck_assert_int_eq(logpath_shift(dir_fd, name, 9), 0);
	ck_assert_int_eq(logpath_shift(dir_fd, name, 10), -ENOENT);
	fd_close(dir_fd);
}
END_TEST

UNIT_MAIN("logpath", test_directories, test_lengths,
	  test_own_links_are_followed, test_link_that_makes_it_too_long,
	  test_links_of_others, test_files, test_links_to_files_are_refused,
	  test_special_files, test_is_file, test_shift, test_shift_that_fails)
