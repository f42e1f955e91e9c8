/* See fakedaemon.h. */
#include "tests/lib/fakedaemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/cli/cli.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/macro.h"

#define ARGS_MAX 32

/* ---- the daemon's process ------------------------------------------------ */

const char *fake_out;

static fake_handler current_handler;
static bool is_ending;

int fake_end(void)
{
	is_ending = true;
	return FAKE_SILENT;
}

static int on_call(sd_bus_message *m, void *userdata _unused_,
		   sd_bus_error *error)
{
	const struct verb *verb = verb_by_member(sd_bus_message_get_member(m));

	return current_handler(m, (enum verb_id)(verb - verb_table), error);
}

static int get_text(sd_bus *bus _unused_, const char *path _unused_,
		    const char *interface _unused_, const char *property,
		    sd_bus_message *reply, void *userdata _unused_,
		    sd_bus_error *error _unused_)
{
	if (strcmp(property, "Version") == 0)
		return sd_bus_message_append(reply, "s", "9.9.9");
	if (strcmp(property, "Guarantee") == 0)
		return sd_bus_message_append(reply, "s", "ancestry");
	if (strcmp(property, "Strays") == 0)
		return sd_bus_message_append(reply, "u", UINT32_C(2));
	return sd_bus_message_append(reply, "s", "/etc/x\033y.ini");
}

static sd_bus_vtable vtable[VERB_COUNT + 6];

static void build_vtable(void)
{
	const sd_bus_vtable ends[] = {
		SD_BUS_VTABLE_START(0),
		SD_BUS_PROPERTY("Version", "s", get_text, 0, 0),
		SD_BUS_PROPERTY("Guarantee", "s", get_text, 0, 0),
		SD_BUS_PROPERTY("ConfigFile", "s", get_text, 0, 0),
		SD_BUS_PROPERTY("Strays", "u", get_text, 0, 0),
		SD_BUS_VTABLE_END,
	};
	size_t n = 0;

	for (; n < 5; n++)
		vtable[n] = ends[n];
	for (size_t i = 0; i < VERB_COUNT; i++) {
		const struct verb *v = &verb_table[i];

		if (v->member)
			vtable[n++] = (sd_bus_vtable)SD_BUS_METHOD(
				v->member, v->in, fake_out ? fake_out : v->out,
				on_call, SD_BUS_VTABLE_UNPRIVILEGED);
	}
	vtable[n] = ends[5];
}

static void serve(int fd)
{
	sd_id128_t id;
	sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r < 0)
		_exit(1);
	sd_id128_randomize(&id);
	if (sd_bus_set_fd(bus, fd, fd) < 0 ||
	    sd_bus_set_server(bus, 1, id) < 0 ||
	    sd_bus_negotiate_fds(bus, 1) < 0 ||
	    sd_bus_add_object_vtable(bus, NULL, REEVE_BUS_PATH,
				     REEVE_BUS_INTERFACE, vtable, NULL) < 0)
		_exit(1);
	r = sd_bus_start(bus); /* fails when the client is gone already */
	while (r >= 0 && !is_ending) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	}
	sd_bus_flush_close_unref(bus);
}

/* It listens itself: SO_PEERCRED tells who did. */
_Noreturn static void run_daemon(int listen_fd, int ready_fd, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || listen(listen_fd, 8) < 0)
		_exit(1);
	build_vtable();
	close(ready_fd);
	while (!is_ending) {
		int fd = accept(listen_fd, NULL, NULL);

		if (fd < 0)
			_exit(1);
		serve(fd);
	}
	_exit(0);
}

/* ---- the test's process -------------------------------------------------- */

void fake_start(struct fake_daemon *f, fake_handler handler)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	pid_t parent = getpid();
	int fd, ready[2];
	char byte;

	f->socket = unit_path("control.sock");
	ck_assert_uint_lt(strlen(f->socket), sizeof(address.sun_path));
	memcpy(address.sun_path, f->socket, strlen(f->socket) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			 0);
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	current_handler = handler;
	f->pid = fork();
	ck_assert_int_ge(f->pid, 0);
	if (f->pid == 0)
		run_daemon(fd, ready[1], parent);
	close(fd);
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 0); /* closed: it listens */
	close(ready[0]);
}

void fake_stop(struct fake_daemon *f)
{
	int status;

	kill(f->pid, SIGKILL); /* not reaped yet: the pid is its own */
	ck_assert_int_eq(waitpid(f->pid, &status, 0), f->pid);
	unlink(f->socket);
}

bool fake_has_ended(const struct fake_daemon *f)
{
	siginfo_t info = { 0 };

	ck_assert_int_eq(waitid(P_PID, (id_t)f->pid, &info,
				WEXITED | WNOHANG | WNOWAIT),
			 0);
	return info.si_pid == f->pid;
}

static char *read_memfd(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(pread(fd, text, (size_t)size, 0), size);
	close(fd);
	return text;
}

/* Replaces fd by a new memfd; returns what it was. */
static int divert(int fd, int *ret_memfd)
{
	int saved = dup(fd);

	*ret_memfd = memfd_create("cli", MFD_CLOEXEC);
	ck_assert_int_ge(*ret_memfd, 0);
	ck_assert_int_eq(dup2(*ret_memfd, fd), fd);
	return saved;
}

static void restore(int fd, int saved)
{
	dup2(saved, fd);
	close(saved);
}

struct cli_result fake_run(const struct fake_daemon *f, ...)
{
	char *argv[ARGS_MAX] = { strdup("reeve") };
	struct cli_result result;
	int argc = 1, out, err, saved_out, saved_err;
	const char *text;
	va_list ap;

	if (f) {
		argv[argc++] = strdup("-s");
		argv[argc++] = strdup(f->socket);
	}
	va_start(ap, f);
	while ((text = va_arg(ap, const char *)) != NULL) {
		ck_assert_int_lt(argc, ARGS_MAX - 1);
		argv[argc++] = strdup(text);
	}
	va_end(ap);
	fflush(NULL);
	saved_out = divert(STDOUT_FILENO, &out);
	saved_err = divert(STDERR_FILENO, &err);
	result.exit_code = cli_run(argc, argv);
	fflush(NULL);
	restore(STDOUT_FILENO, saved_out);
	restore(STDERR_FILENO, saved_err);
	result.out = read_memfd(out);
	result.err = read_memfd(err);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return result;
}

void cli_result_done(struct cli_result *result)
{
	free(result->out);
	free(result->err);
}

int fake_append_row(sd_bus_message *m, const char *name, const char *group,
		    const char *state,
		    const uint64_t numbers[LIST_NUMBER_COUNT],
		    const char *status, const char *error)
{
	int r = sd_bus_message_open_container(m, 'r', "sssatss");

	if (r >= 0)
		r = sd_bus_message_append(m, "sss", name, group, state);
	if (r >= 0)
		r = sd_bus_message_append_array(
			m, 't', numbers, LIST_NUMBER_COUNT * sizeof(*numbers));
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", status, error);
	return r < 0 ? r : sd_bus_message_close_container(m);
}
