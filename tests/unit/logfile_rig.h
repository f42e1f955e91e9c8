/* What the tests of logfile.c share: a registry, one file of it and what was
 * reported. Included by each of them once. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/daemon/logfile.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/buf.h"
#include "workers/base/sys/fd.h"

#define TEXT_MAX (1 << 20)

/* A registry and one file of it, and what was reported. */
static struct {
	struct logfile_registry reg;
	struct logfile *lf;
	char path[256];
	unsigned n_problems, n_notices;
	char last[LOGFILE_REPORT_MAX];
	bool echoes; /* the reporter writes to the file, as a daemon may */
} w;

_unused_ static void on_report(void *userdata, bool is_problem,
			       const char *text)
{
	ck_assert_ptr_eq(userdata, &w);
	snprintf(w.last, sizeof(w.last), "%s", text);
	w.n_problems += is_problem;
	w.n_notices += !is_problem;
	if (w.echoes)
		logfile_write(w.lf, "report\n", 7);
}

_unused_ static void start(const char *path, uint64_t maxbytes,
			   uint32_t backups)
{
	const struct logfile_spec spec = {
		.path = path,
		.maxbytes = maxbytes,
		.backups = backups,
	};

	memset(&w, 0, sizeof(w));
	snprintf(w.path, sizeof(w.path), "%s", path);
	logfile_registry_init(&w.reg, on_report, &w);
	ck_assert_int_eq(logfile_get(&w.reg, &spec, &w.lf), 0);
}

_unused_ static void finish(void)
{
	w.lf = logfile_put(w.lf);
	ck_assert_uint_eq(w.reg.n_files, 0);
	logfile_registry_done(&w.reg);
}

_unused_ static void put(const char *text)
{
	logfile_write(w.lf, text, strlen(text));
}

/* The content of backup i (0: the file itself), or NULL. Free it. */
_unused_ static char *content(unsigned i)
{
	char path[300], *text;
	size_t len;

	snprintf(path, sizeof(path), i ? "%s.%u" : "%s", w.path, i);
	return fd_read_file(-1, path, TEXT_MAX, &text, &len) < 0 ? NULL : text;
}

_unused_ static void check_content(unsigned i, const char *want)
{
	char *text = content(i);

	if (!want)
		ck_assert_msg(!text, "%s.%u is there", w.path, i);
	else
		ck_assert_str_eq(text ? text : "(none)", want);
	free(text);
}

/* All that was kept, oldest first. */
_unused_ static void collect(struct buf *all, unsigned n_max)
{
	for (unsigned i = n_max + 1; i-- > 0;) {
		char *text = content(i);

		if (text)
			ck_assert_int_eq(buf_puts(all, text), 0);
		free(text);
	}
}
