/* Where things are when nobody says: the directories and the file of this
 * user. Environment variables that are not absolute paths do not count, as
 * the XDG base directory specification has it. */
#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_RUNTIME_DIR "/run/reeve"
#define SYSTEM_LOG_DIR	   "/var/log/reeve"
#define SYSTEM_FILE	   "/etc/reeve/reeve.ini"
#define LOCAL_FILE	   "reeve.ini"

static const char *absolute_variable(const char *name)
{
	const char *value = secure_getenv(name);

	return value && value[0] == '/' ? value : NULL;
}

/* dir/rest as a new string. */
static int join(const char *dir, const char *rest, char **ret_path)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, rest) < 0)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}

static int copy(const char *path, char **ret_path)
{
	char *s = strdup(path);

	if (!s)
		return -ENOMEM;
	*ret_path = s;
	return 0;
}

int conf_default_runtime_dir(char **ret_path)
{
	const char *dir = absolute_variable("XDG_RUNTIME_DIR");
	char name[64];

	if (geteuid() == 0)
		return copy(SYSTEM_RUNTIME_DIR, ret_path);
	if (dir)
		return join(dir, "reeve", ret_path);
	snprintf(name, sizeof(name), "reeve-%u", (unsigned)geteuid());
	return join("/tmp", name, ret_path);
}

int conf_default_log_dir(char **ret_path)
{
	const char *dir = absolute_variable("XDG_STATE_HOME");
	const char *home = absolute_variable("HOME");

	if (geteuid() == 0)
		return copy(SYSTEM_LOG_DIR, ret_path);
	if (dir)
		return join(dir, "reeve/log", ret_path);
	if (!home)
		return -ENOENT;
	return join(home, ".local/state/reeve/log", ret_path);
}

/* $XDG_CONFIG_HOME/reeve/reeve.ini or the one in ~/.config, if it exists. */
static int find_own_file(char **ret_path)
{
	const char *dir = absolute_variable("XDG_CONFIG_HOME");
	const char *home = absolute_variable("HOME");
	char *path;
	int r;

	if (!dir && !home)
		return -ENOENT;
	r = join(dir ? dir : home,
		 dir ? "reeve/reeve.ini" : ".config/reeve/reeve.ini", &path);
	if (r < 0)
		return r;
	if (access(path, F_OK) < 0) {
		free(path);
		return -ENOENT;
	}
	*ret_path = path;
	return 0;
}

int conf_default_file(char **ret_path)
{
	int r;

	if (geteuid() != 0) {
		/* root does not read what lies around in a directory */
		if (access(LOCAL_FILE, F_OK) == 0)
			return copy(LOCAL_FILE, ret_path);
		r = find_own_file(ret_path);
		if (r != -ENOENT)
			return r;
	}
	return copy(SYSTEM_FILE, ret_path);
}
