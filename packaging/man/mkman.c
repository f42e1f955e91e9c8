/* mkman TEMPLATE: writes a man page; mkman --keys, mkman --verbs: lists.
 *
 * The pages are templates in mdoc(7). A line "@name [argument]" is replaced by
 * what a table of the programs says: the keys of a section, the verbs, the
 * options, the exit codes, the states. So a page cannot know less than the
 * program does, and a row without a word of documentation fails the build.
 * The lists are for tests/lint/documented.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "supervisor/cli/cli.h"
#include "supervisor/core/states.h"
#include "supervisor/core/verbs.h"
#include "supervisor/daemon/daemon.h"
#include "workers/base/pure/macro.h"
#include "workers/manager/server/options.h"

#define LINE_MAX_BYTES 4096

struct exit_row {
	int code;
	const char *who, *text;
};

struct option_row {
	char letter;
	const char *word, *value;
	uint32_t verbs;
	const char *text;
};

static const struct exit_row daemon_exits[] = {
#define X(name, code_, text_) { .code = (code_), .who = "", .text = (text_) },
	DAEMON_EXITS(X)
#undef X
};

static const struct exit_row cli_exits[] = {
#define X(name, code_, who_, text_)                                            \
	{ .code = (code_), .who = (who_), .text = (text_) },
	CLI_EXITS(X)
#undef X
};

static const struct option_row options[] = {
#define X(id, letter_, word_, value_, verbs_, text_)                           \
	{ .letter = (letter_),                                                 \
	  .word = (word_),                                                     \
	  .value = (value_),                                                   \
	  .verbs = (verbs_),                                                   \
	  .text = (text_) },
	CLI_OPTIONS(X)
#undef X
};

/* ---- words of mdoc ------------------------------------------------------ */

/* text as prose: nothing in it is a macro or an escape, each sentence begins
 * a line, and it ends as one. */
static void print_prose(const char *text)
{
	size_t length = strlen(text);

	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\\')
			fputs("\\e", stdout);
		else if (*p == ' ' && p > text && strchr(".!?", p[-1]))
			putchar('\n');
		else
			putchar(*p);
	}
	puts(strchr(".!?", text[length - 1]) ? "" : ".");
}

/* text as one argument of a macro. */
static void print_argument(const char *text)
{
	fputs(" \"", stdout);
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '"')
			fputs("\\(dq", stdout);
		else if (*p == '\\')
			fputs("\\e", stdout);
		else
			putchar(*p);
	}
	putchar('"');
}

/* "[PATTERN...] SIGNAL" as " Op Ar PATTERN ... Ns Ar SIGNAL". */
static void print_operands(const char *arguments)
{
	for (const char *p = arguments; *p != '\0';) {
		size_t length = strcspn(p, " ");
		bool is_optional = *p == '[';
		size_t name = strcspn(p + is_optional, "]. ");

		printf("%s Ar %.*s", is_optional ? " Op" : "", (int)name,
		       p + is_optional);
		if (strncmp(p + is_optional + name, "...", 3) == 0)
			fputs(" ...", stdout);
		p += length;
		p += strspn(p, " ");
	}
	putchar('\n');
}

/* Callers of print_prose() ask this first: it needs a text. */
static bool is_undocumented(const char *kind, const char *name,
			    const char *text)
{
	if (text != NULL && *text != '\0')
		return false;
	fprintf(stderr, "mkman: %s \"%s\" has no documentation\n", kind, name);
	return true;
}

/* ---- directives: 0 or -EINVAL, said ------------------------------------- */

static int put_key(const struct conf_row_doc *row)
{
	if (is_undocumented("key", row->key, row->doc))
		return -EINVAL;
	printf(".It Ic %s No = Ar %s\n", row->key, row->type);
	print_prose(row->doc);
	if (row->default_text != NULL && *row->default_text != '\0') {
		fputs("Default:\n.Li", stdout);
		print_argument(row->default_text);
		fputs(" .\n", stdout);
	}
	return 0;
}

static int put_keys(const char *section)
{
	size_t n = 0;

	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < conf_schema_count(); i++) {
		struct conf_row_doc row = conf_schema_row(i);

		if (strcmp(row.section, section) != 0)
			continue;
		if (put_key(&row) < 0)
			return -EINVAL;
		n++;
	}
	puts(".El");
	if (n > 0)
		return 0;
	fprintf(stderr, "mkman: no keys in section \"%s\"\n", section);
	return -EINVAL;
}

/* The keys of a section that a reload applies without a restart. */
static int put_live_keys(const char *section)
{
	const char *separator = "";

	for (size_t i = 0; i < conf_schema_count(); i++) {
		struct conf_row_doc row = conf_schema_row(i);

		if (strcmp(row.section, section) != 0 || row.needs_restart ||
		    strcmp(row.type, "ignored") == 0)
			continue;
		printf("%s.Ic %s", separator, row.key);
		separator = " ,\n";
	}
	puts(" .");
	return *separator != '\0' ? 0 : -EINVAL;
}

static int put_verbs(const char *unused)
{
	(void)unused;
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < VERB_COUNT; i++) {
		const struct verb *v = &verb_table[i];

		if (is_undocumented("verb", v->word, v->help))
			return -EINVAL;
		printf(".It Ic %s", v->word);
		print_operands(v->arguments);
		print_prose(v->help);
	}
	puts(".El");
	return 0;
}

/* Who may: the verbs of one access, by the first letter of its name. */
static int put_access(const char *argument)
{
	const char *separator = "";
	enum verb_access access = *argument == 'r'   ? ACCESS_READ
				  : *argument == 's' ? ACCESS_STEER
						     : ACCESS_OWNER;

	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (verb_table[i].member == NULL ||
		    verb_table[i].access != access)
			continue;
		printf("%s.Ic %s", separator, verb_table[i].word);
		separator = " ,\n";
	}
	puts(" .");
	return 0;
}

static void put_option_verbs(uint32_t verbs)
{
	const char *separator = "";

	puts("Only with");
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (!(verbs & (1U << i)))
			continue;
		printf("%s.Ic %s", separator, verb_table[i].word);
		separator = " ,\n";
	}
	puts(" .");
}

static int put_options(const char *unused)
{
	(void)unused;
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const struct option_row *o = &options[i];

		if (o->text == NULL)
			continue; /* for completion, not for people */
		fputs(".It", stdout);
		if (o->letter != '\0')
			printf(" Fl %c ,", o->letter);
		printf(" Fl -%s", o->word);
		if (o->value != NULL)
			printf(" Ar %s", o->value);
		putchar('\n');
		print_prose(o->text);
		if (o->verbs != CLI_ALL_VERBS)
			put_option_verbs(o->verbs);
	}
	puts(".El");
	return 0;
}

/* Of reeve-manager. */
static int put_manager_options(const char *unused)
{
	static const struct manager_row {
		char letter;
		const char *word, *value, *by_default, *right, *help;
	} rows[] = {
#define X(id, ...) { __VA_ARGS__ },
		MANAGER_OPTIONS(X)
#undef X
	};

	(void)unused;
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fputs(".It", stdout);
		if (rows[i].letter != '\0')
			printf(" Fl %c ,", rows[i].letter);
		printf(" Fl -%s", rows[i].word);
		if (rows[i].value != NULL)
			printf(" Ar %s", rows[i].value);
		putchar('\n');
		print_prose(rows[i].help);
		if (rows[i].by_default != NULL)
			printf("Default: %s.\n", rows[i].by_default);
	}
	puts(".El");
	return 0;
}

/* who is "status", "other", or "" for reeved; rows of "all" go with both. */
static int put_exits(const char *who)
{
	const struct exit_row *rows = *who ? cli_exits : daemon_exits;
	size_t n = *who ? ARRAY_SIZE(cli_exits) : ARRAY_SIZE(daemon_exits);

	puts(".Bl -tag -width Ds -compact");
	for (size_t i = 0; i < n; i++) {
		if (*who && strcmp(rows[i].who, who) != 0 &&
		    strcmp(rows[i].who, "all") != 0)
			continue;
		printf(".It %d\n", rows[i].code);
		print_prose(rows[i].text);
	}
	puts(".El");
	return 0;
}

static int put_states(const char *unused)
{
	(void)unused;
	puts(".Bl -tag -width STARTING -compact");
#define X(name, code, text)                                                    \
	puts(".It Dv " #name);                                                 \
	print_prose(text);
	WORKER_STATES(X)
#undef X
	puts(".El");
	return 0;
}

static const struct directive {
	const char *name;
	int (*put)(const char *argument);
} directives[] = {
	{ "keys", put_keys },	    { "live-keys", put_live_keys },
	{ "verbs", put_verbs },	    { "access", put_access },
	{ "options", put_options }, { "exits", put_exits },
	{ "states", put_states },   { "manager-options", put_manager_options },
};

/* ---- templates and lists ------------------------------------------------ */

/* line is "name [argument]", without the "@". */
static int put_directive(char *line)
{
	char *argument = line + strcspn(line, " ");

	if (*argument != '\0')
		*argument++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(directives); i++)
		if (strcmp(directives[i].name, line) == 0)
			return directives[i].put(argument);
	fprintf(stderr, "mkman: no such directive: @%s\n", line);
	return -EINVAL;
}

static int put_page(const char *path)
{
	char line[LINE_MAX_BYTES];
	int number = 0, r = 0;

	FILE *f = fopen(path, "re");
	if (f == NULL) {
		fprintf(stderr, "mkman: %s: %s\n", path, strerror(errno));
		return -errno;
	}
	while (r == 0 && fgets(line, sizeof(line), f) != NULL) {
		number++;
		line[strcspn(line, "\n")] = '\0';
		if (line[0] != '@')
			puts(line);
		else if ((r = put_directive(line + 1)) < 0)
			fprintf(stderr, "mkman: in %s:%d\n", path, number);
	}
	fclose(f);
	return r;
}

static void list_keys(void)
{
	for (size_t i = 0; i < conf_schema_count(); i++)
		printf("%s %s\n", conf_schema_row(i).section,
		       conf_schema_row(i).key);
}

static void list_verbs(void)
{
	for (size_t i = 0; i < VERB_COUNT; i++)
		puts(verb_table[i].word);
}

int main(int argc, char **argv)
{
	int r = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: mkman TEMPLATE | --keys | --verbs\n");
		return 2;
	}
	if (strcmp(argv[1], "--keys") == 0)
		list_keys();
	else if (strcmp(argv[1], "--verbs") == 0)
		list_verbs();
	else
		r = put_page(argv[1]);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("mkman: standard output");
		r = -EIO;
	}
	return r < 0 ? 1 : 0;
}
