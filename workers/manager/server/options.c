/* See options.h. */
#include "workers/manager/server/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

enum option_id {
#define X(id, ...) OPTION_##id,
	MANAGER_OPTIONS(X)
#undef X
		OPTION_COUNT
};

struct row {
	char letter;
	const char *word, *value, *by_default, *right, *help;
};

static const struct row rows[OPTION_COUNT] = {
#define X(id, ...) [OPTION_##id] = { __VA_ARGS__ },
	MANAGER_OPTIONS(X)
#undef X
};

#define FIRST_LONG 256 /* of getopt's numbers: no letter */

/* ---- values ------------------------------------------------------------------------- */

static int set_text(const char *text, char *ret, size_t size)
{
	if (*text == '\0' || strlen(text) >= size)
		return -EINVAL;
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

static int set_usec(const char *text, uint64_t *ret)
{
	int r = parse_usec(text, ret);

	return r == 0 && *ret == 0 ? -EINVAL : r;
}

static int set_size(const char *text, uint64_t *ret)
{
	int r = parse_size(text, ret);

	return r == 0 && *ret == 0 ? -EINVAL : r;
}

static int set_clients(const char *text, uint32_t *ret)
{
	uint64_t n;
	int r = parse_u64(text, 1, 1000000, &n);

	if (r == 0)
		*ret = (uint32_t)n;
	return r;
}

/* "5/10s" */
static int set_limit(const char *text, struct keeper_order *order)
{
	const char *slash = strchr(text, '/');
	char number[16];
	uint64_t n;
	int r;

	if (!slash || (size_t)(slash - text) >= sizeof(number))
		return -EINVAL;
	(void)snprintf(number, sizeof(number), "%.*s", (int)(slash - text),
		       text);
	r = parse_u64(number, 0, UINT32_MAX, &n);
	if (r == 0)
		r = set_usec(slash + 1, &order->restart_interval_usec);
	if (r == 0)
		order->restart_limit = (uint32_t)n;
	return r;
}

static int set_address(const char *text, struct keeper_order *order)
{
	int r = address_check(text);

	return r < 0 ? r
		     : set_text(text, order->address, sizeof(order->address));
}

/* The directory is changed by nobody, but a path is said once, and used for long. */
static int set_snapshot(const char *text, struct keeper_order *order)
{
	char directory[PATH_MAX];
	int n;

	if (text[0] == '/')
		return set_text(text, order->snapshot, sizeof(order->snapshot));
	if (text[0] == '\0' || !getcwd(directory, sizeof(directory)))
		return -EINVAL;
	n = snprintf(order->snapshot, sizeof(order->snapshot), "%s/%s",
		     directory, text);
	return n < 0 || (size_t)n >= sizeof(order->snapshot) ? -EINVAL : 0;
}

static int set_option(struct options *o, enum option_id id, const char *value)
{
	struct keeper_order *order = &o->order;

	switch (id) {
	case OPTION_LISTEN:
		return set_address(value, order);
	case OPTION_AUTHKEY:
		o->authkey_file = value;
		return *value == '\0' ? -EINVAL : 0;
	case OPTION_SNAPSHOT:
		return set_snapshot(value, order);
	case OPTION_INTERVAL:
		return set_usec(value, &order->snapshot_interval_usec);
	case OPTION_CLIENTS:
		return set_clients(value, &order->max_clients);
	case OPTION_OBJECTS:
		return parse_u64(value, 1, UINT64_MAX, &order->max_objects);
	case OPTION_BYTES:
		return set_size(value, &order->max_bytes);
	case OPTION_OUTPUT:
		return set_size(value, &order->max_output_bytes);
	case OPTION_RESTARTS:
		return set_limit(value, order);
	case OPTION_HELP:
	case OPTION_VERSION:
	case OPTION_COUNT:
		break;
	}
	return 0;
}

/* ---- the command line ----------------------------------------------------------------- */

static void show_help(void)
{
	puts("usage: reeve-manager --listen ADDRESS --authkey-file FILE "
	     "[OPTION...]\n"
	     "\n"
	     "Serves dicts, lists, queues, locks ... to programs that use "
	     "reeve_manager(3).\n");
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		char words[64], letter[8] = "    ";

		if (rows[i].letter)
			(void)snprintf(letter, sizeof(letter), "-%c, ",
				       rows[i].letter);
		(void)snprintf(words, sizeof(words), "%s--%s%s%s", letter,
			       rows[i].word, rows[i].value ? " " : "",
			       rows[i].value ? rows[i].value : "");
		printf("  %-28s %s", words, rows[i].help);
		if (rows[i].by_default)
			printf(" [%s]", rows[i].by_default);
		puts("");
	}
}

static void fill_tables(struct option words[OPTION_COUNT + 1],
			char letters[2 * OPTION_COUNT + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		words[i] = (struct option){
			.name = rows[i].word,
			.has_arg =
				rows[i].value ? required_argument : no_argument,
			.val = FIRST_LONG + (int)i,
		};
		if (!rows[i].letter)
			continue;
		letters[n++] = rows[i].letter;
		if (rows[i].value)
			letters[n++] = ':';
	}
	words[OPTION_COUNT] = (struct option){ 0 };
	letters[n] = '\0';
}

static enum option_id find_option(int c)
{
	size_t i = 0;

	if (c >= FIRST_LONG)
		return (enum option_id)(c - FIRST_LONG);
	while (i < OPTION_COUNT && rows[i].letter != c)
		i++;
	return (enum option_id)i;
}

/* Returns -1, or the exit code. */
static int take_option(struct options *o, int c, const char *value)
{
	enum option_id id = find_option(c);

	switch (id) {
	case OPTION_COUNT: /* getopt has said what is wrong */
		fputs("reeve-manager: try --help\n", stderr);
		return KEEPER_EXIT_USAGE;
	case OPTION_HELP:
		show_help();
		return KEEPER_EXIT_OK;
	case OPTION_VERSION:
		puts("reeve-manager " REEVE_VERSION);
		return KEEPER_EXIT_OK;
	case OPTION_LISTEN:
	case OPTION_AUTHKEY:
	case OPTION_SNAPSHOT:
	case OPTION_INTERVAL:
	case OPTION_CLIENTS:
	case OPTION_OBJECTS:
	case OPTION_BYTES:
	case OPTION_OUTPUT:
	case OPTION_RESTARTS:
		break;
	}
	if (set_option(o, id, value) == 0)
		return -1;
	fprintf(stderr, "reeve-manager: --%s: \"%s\" is not %s\n",
		rows[id].word, value, rows[id].right);
	return KEEPER_EXIT_USAGE;
}

static int check_all(const struct options *o, char *const *rest)
{
	if (*rest) {
		fprintf(stderr, "reeve-manager: \"%s\" is not an option\n",
			*rest);
		return KEEPER_EXIT_USAGE;
	}
	if (o->order.address[0] && o->authkey_file)
		return -1;
	fprintf(stderr, "reeve-manager: --%s is needed; try --help\n",
		o->order.address[0] ? "authkey-file" : "listen");
	return KEEPER_EXIT_USAGE;
}

int options_take(int argc, char **argv, struct options *ret_options)
{
	struct option words[OPTION_COUNT + 1];
	char letters[2 * OPTION_COUNT + 1];
	int c, code = -1;

	*ret_options = (struct options){ 0 };
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (rows[i].by_default)
			reeve_assert(set_option(ret_options, (enum option_id)i,
						rows[i].by_default) == 0);
	if (argc == 2 && strcmp(argv[1], KEEPER_ARGUMENT) == 0) {
		ret_options->is_inherited = true;
		return -1;
	}
	fill_tables(words, letters);
	optind = 0; /* anew, also in a test that calls this again */
	while (code < 0 &&
	       (c = getopt_long(argc, argv, letters, words, NULL)) >= 0)
		code = take_option(ret_options, c, optarg);
	return code < 0 ? check_all(ret_options, argv + optind) : code;
}

/* ---- the key ---------------------------------------------------------------------------- */

/* A key that others may read is none. */
static int check_mode(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP) ? -EPERM : 0;
}

int options_read_authkey(struct options *o)
{
	_cleanup_(free_pointer) char *text = NULL;
	size_t len = 0;
	int r = check_mode(o->authkey_file);

	if (r == -EPERM) {
		log_error("%s: others may read or write it: chmod 600",
			  o->authkey_file);
		return r;
	}
	if (r == 0)
		r = fd_read_file(AT_FDCWD, o->authkey_file,
				 REEVE_MANAGER_KEY_MAX + 1, &text, &len);
	if (r < 0) {
		log_error("cannot read the key %s: %s", o->authkey_file,
			  strerror(-r));
		return r;
	}
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len == 0 || len > REEVE_MANAGER_KEY_MAX) {
		log_error("%s: a key has 1 to %d bytes", o->authkey_file,
			  REEVE_MANAGER_KEY_MAX);
		return -EINVAL;
	}
	memcpy(o->order.authkey, text, len);
	o->order.authkey_size = (uint32_t)len;
	explicit_bzero(text, len);
	return 0;
}
