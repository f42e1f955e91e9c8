/* Sections and keys as they come out of a file: known or not, said once or
 * twice. Values are kept as text, to be applied when all files are read.
 * See load.h. */
#include "conf/load.h"

#include <errno.h>
#include <string.h>

#include "conf/reader.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"

#define SHOWN_TITLE_MAX	   (SETTINGS_NAME_MAX + 64)
#define FORBIDDEN_IN_NAMES " :/*?[],;%\"'\\"

/* What becomes of a kind of section. */
enum fate {
	FATE_KEEP,
	FATE_IGNORE, /* supervisord's, without a meaning here */
	FATE_REFUSE, /* supervisord's, would run programs */
	FATE_LATER,  /* reeve's, not in this version */
};

static const struct head {
	const char *word;
	bool has_name; /* [word:NAME] */
	enum fate fate;
	enum schema_section kind;
} heads[] = {
	{ "reeve", false, FATE_KEEP, SECTION_REEVE },
	{ "worker", true, FATE_KEEP, SECTION_WORKER },
	{ "group", true, FATE_KEEP, SECTION_GROUP },
	{ "include", false, FATE_KEEP, SECTION_INCLUDE },
	{ "supervisord", false, FATE_KEEP, SECTION_REEVE },
	{ "program", true, FATE_KEEP, SECTION_WORKER },
	{ "unix_http_server", false, FATE_IGNORE, SECTION_COUNT },
	{ "inet_http_server", false, FATE_IGNORE, SECTION_COUNT },
	{ "supervisorctl", false, FATE_IGNORE, SECTION_COUNT },
	{ "rpcinterface", true, FATE_IGNORE, SECTION_COUNT },
	{ "ctlplugin", true, FATE_IGNORE, SECTION_COUNT },
	{ "eventlistener", true, FATE_REFUSE, SECTION_COUNT },
	{ "fcgi-program", true, FATE_REFUSE, SECTION_COUNT },
	{ "pool", true, FATE_LATER, SECTION_COUNT },
	{ "socket", true, FATE_LATER, SECTION_COUNT },
};

const char *load_refuse_name(const char *name)
{
	if (name[0] == '\0')
		return "it is empty";
	if (strlen(name) > SETTINGS_NAME_MAX)
		return "it is longer than 128 bytes";
	if (strpbrk(name, FORBIDDEN_IN_NAMES "\t\n"))
		return "it has a blank or one of : / * ? [ ] , ; % \" ' \\";
	if (name[0] == '-')
		return "it begins with -";
	if (strcmp(name, "all") == 0)
		return "\"all\" stands for all workers";
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return "it names a directory";
	return NULL;
}
_Static_assert(SETTINGS_NAME_MAX == 128, "the sentence above says 128");

/* The file that is being read, and line. */
static uint32_t here(const struct loader *ld, int line)
{
	return origin_make(ld->file, (size_t)line);
}

/* "did you mean [worker:web]?": the nearest word, and the name if any. */
static void tell_unknown(struct loader *ld, const char *title, uint32_t where)
{
	char shown[REPORT_QUOTE_MAX], word[REPORT_QUOTE_MAX];
	const char *words[ARRAY_SIZE(heads)];
	size_t len = strcspn(title, ":");
	const char *near = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		words[i] = heads[i].word;
	if (len < sizeof(word) && !notes_are_full(&ld->notes)) {
		memcpy(word, title, len);
		word[len] = '\0';
		near = str_nearest(word, words, ARRAY_SIZE(words));
	}
	report_quote(title, shown);
	if (near)
		notes_error(&ld->notes, where,
			    "unknown section [%s]; did you mean [%s%s]?", shown,
			    near, shown + strcspn(shown, ":"));
	else
		notes_error(&ld->notes, where,
			    "unknown section [%s]; known are [reeve], "
			    "[worker:NAME], [group:NAME] and [include]",
			    shown);
}

/* The head of [title]; NULL, and noted, when there is none of this form. */
static const struct head *find_head(struct loader *ld, const char *title,
				    uint32_t where)
{
	size_t len = strcspn(title, ":");
	char shown[REPORT_QUOTE_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		const struct head *h = &heads[i];

		if (strlen(h->word) != len || strncmp(h->word, title, len) != 0)
			continue;
		if (h->has_name == (title[len] == ':'))
			return h;
		if (h->has_name)
			notes_error(&ld->notes, where,
				    "[%s] needs a name: [%s:NAME]", h->word,
				    h->word);
		else
			notes_error(&ld->notes, where,
				    "[%s] takes no name; write [%s]",
				    report_quote(title, shown), h->word);
		return NULL;
	}
	tell_unknown(ld, title, where);
	return NULL;
}

static int grow_sections(struct loader *ld)
{
	size_t want =
		ld->n_sections_allocated ? 2 * ld->n_sections_allocated : 64;
	struct raw_section **sections;

	if (ld->n_sections < ld->n_sections_allocated)
		return 0;
	sections = reallocarray(ld->sections, want, sizeof(*sections));
	if (!sections)
		return -ENOMEM;
	ld->sections = sections;
	ld->n_sections_allocated = want;
	return 0;
}

static struct raw_section *keep_section(struct loader *ld,
					enum schema_section kind,
					const char *title, uint32_t where)
{
	struct raw_section *s = arena_alloc(&ld->scratch, sizeof(*s));
	char shown[SHOWN_TITLE_MAX];
	const char *colon = strchr(title, ':');

	if (ld->n_sections == CONF_SECTIONS_MAX) {
		if (!ld->told_sections)
			notes_error(&ld->notes, where, "more than %d sections",
				    CONF_SECTIONS_MAX);
		ld->told_sections = true;
		return NULL;
	}
	if (!s || grow_sections(ld) < 0) {
		ld->notes.out_of_memory = true;
		return NULL;
	}
	s->kind = kind;
	s->where = where;
	s->tail = &s->values;
	s->title = arena_strdup(&ld->scratch,
				str_escape(title, shown, sizeof(shown)));
	s->name =
		arena_strdup(&ld->scratch,
			     colon ? colon + 1 + strspn(colon + 1, " \t") : "");
	if (!s->title || !s->name) {
		ld->notes.out_of_memory = true;
		return NULL;
	}
	ld->sections[ld->n_sections++] = s;
	return s;
}

/* Remembers the name of a section that --ignore-unsupported leaves out: a
 * [group:] may have it. */
static void note_unsupported(struct loader *ld, const char *title)
{
	size_t n = ld->n_unsupported;
	char **list = reallocarray(ld->unsupported, n + 1, sizeof(*list));
	char *name = arena_strdup(&ld->scratch, title + strcspn(title, ":"));

	if (list)
		ld->unsupported = list;
	if (!list || !name) {
		ld->notes.out_of_memory = true;
		return;
	}
	list[ld->n_unsupported++] = name + 1 + strspn(name + 1, " \t");
}

static void refuse_section(struct loader *ld, const char *title, uint32_t where)
{
	char shown[REPORT_QUOTE_MAX];

	report_quote(title, shown);
	if (!ld->options->ignore_unsupported) {
		notes_error(&ld->notes, where,
			    "[%s] is not supported: its program would not be "
			    "run; remove it, or use --ignore-unsupported to go "
			    "on without it",
			    shown);
		return;
	}
	notes_warning(&ld->notes, where,
		      "[%s] is not supported: its program is not run", shown);
	note_unsupported(ld, title);
}

static void on_section(void *userdata, const char *name, int line)
{
	struct loader *ld = userdata;
	uint32_t where = here(ld, line);
	char shown[REPORT_QUOTE_MAX];
	const struct head *h;

	ld->in_section = true;
	ld->current = NULL;
	h = name ? find_head(ld, name, where) : NULL;
	if (!h)
		return;
	report_quote(name, shown);
	switch (h->fate) {
	case FATE_IGNORE:
		notes_warning(&ld->notes, where,
			      "[%s] has no meaning here and is ignored", shown);
		return;
	case FATE_REFUSE:
		refuse_section(ld, name, where);
		return;
	case FATE_LATER:
		notes_error(&ld->notes, where,
			    "[%s] is not supported by this version", shown);
		return;
	case FATE_KEEP:
		break;
	}
	ld->current = keep_section(ld, h->kind, name, where);
	if (ld->current && h->has_name && load_refuse_name(ld->current->name))
		notes_error(&ld->notes, where,
			    "[%s] has a name that cannot be: %s", shown,
			    load_refuse_name(ld->current->name));
}

static void tell_unknown_key(struct loader *ld, const char *key, uint32_t where)
{
	const struct raw_section *s = ld->current;
	char shown[REPORT_QUOTE_MAX];
	const char *near = NULL;

	if (!notes_are_full(&ld->notes))
		near = schema_nearest(s->kind, key);
	notes_error(&ld->notes, where, "unknown key \"%s\" in [%s]%s%s%s",
		    report_quote(key, shown), s->title,
		    near ? "; did you mean \"" : "", near ? near : "",
		    near ? "\"?" : "");
}

/* Appends a value, unless its key was there before. */
static void keep_value(struct loader *ld, const struct schema_row *row,
		       const char *text, uint32_t where)
{
	struct raw_section *s = ld->current;
	struct raw_value *v;

	for (v = s->values; v; v = v->next)
		if (v->row == row) {
			notes_error(&ld->notes, where,
				    "%s is set twice in [%s]; first in line %u",
				    row->key, s->title, origin_line(v->where));
			return;
		}
	v = arena_alloc(&ld->scratch, sizeof(*v));
	if (v)
		v->text = arena_strdup(&ld->scratch, text);
	if (!v || !v->text) {
		ld->notes.out_of_memory = true;
		return;
	}
	v->row = row;
	v->where = where;
	*s->tail = v;
	s->tail = &v->next;
	s->n_values++;
}

static void on_value(void *userdata, const char *key, const char *value,
		     int line)
{
	struct loader *ld = userdata;
	uint32_t where = here(ld, line);
	const struct schema_row *row;
	char shown[REPORT_QUOTE_MAX];

	if (!ld->in_section && !ld->told_outside) {
		ld->told_outside = true;
		notes_error(&ld->notes, where,
			    "key \"%s\" stands before any section; write "
			    "[reeve] or [worker:NAME] above it",
			    report_quote(key, shown));
	}
	if (!ld->current)
		return;
	row = schema_find(ld->current->kind, key);
	if (row)
		keep_value(ld, row, value, where);
	else
		tell_unknown_key(ld, key, where);
}

static void on_problem(void *userdata, bool is_error, int line,
		       const char *text)
{
	struct loader *ld = userdata;

	if (is_error)
		notes_error(&ld->notes, here(ld, line), "%s", text);
	else
		notes_warning(&ld->notes, here(ld, line), "%s", text);
}

static bool is_key(void *userdata, const char *word)
{
	struct loader *ld = userdata;

	return ld->current && schema_find(ld->current->kind, word);
}

int load_sections_read(struct loader *ld, const char *text, size_t len)
{
	const struct reader_events events = {
		.on_section = on_section,
		.on_value = on_value,
		.on_problem = on_problem,
		.is_key = is_key,
		.userdata = ld,
	};
	int r;

	ld->current = NULL;
	ld->in_section = false;
	ld->told_outside = false;
	r = reader_read(text, len, &events);
	return ld->notes.out_of_memory ? -ENOMEM : r;
}
