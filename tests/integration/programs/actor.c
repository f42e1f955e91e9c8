/* A program that does what it is told, word by word: the workers of the tests.
 *
 *   actor ignore TERM fork { setsid wait } notify READY=1 wait
 *
 * Words: print TEXT · complain TEXT (on stderr) · append FILE TEXT · mark FILE
 * (own pid, a line) · pause MS · exit N · raise SIGNAL · ignore SIGNAL · hold
 * SIGNAL (blocks it) · await SIGNAL (waits for one that is held) · segv · wait
 * (for ever) · setsid · notify TEXT (\n and \e in it as in C) · shout TEXT
 * (notify for ever) · main (MAINPID= of the last child) · tasks N MS (tells N
 * tasks done, one each MS) · clearenv · flood BYTES (lines of 80) · raw BYTES
 * (no newline) · count N (lines of 16 bytes: 1 .. N) · open N (fds) ·
 * fork { ... } (a child runs the block; the parent goes on) · daemon { ... } (a
 * grandchild whose parent is gone runs it) · bomb N (N children in a chain,
 * each waits) · loop (begins anew) · once FILE N (exit N if FILE is not there
 * yet, and make it) · show (all that a process is started with).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Nothing of reeve: the tests' programs are static and start fast. */

static pid_t last_child; /* of fork { ... } */

static void pause_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

static void append(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	char line[512];
	int n = snprintf(line, sizeof(line), "%s\n", text);

	if (fd < 0 || write(fd, line, (size_t)n) != n)
		perror(path);
	close(fd);
}

static void mark(const char *path)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)getpid());
	append(path, text);
}

static int signal_number(const char *name)
{
	for (int signo = 1; signo < 32; signo++)
		if (strcmp(name, sigabbrev_np(signo)) == 0)
			return signo;
	fprintf(stderr, "actor: no signal %s\n", name);
	_exit(2);
}

static sigset_t only(const char *name)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal_number(name));
	return set;
}

static void hold(const char *name)
{
	sigset_t set = only(name);

	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void await(const char *name)
{
	sigset_t set = only(name);

	while (sigwaitinfo(&set, NULL) < 0)
		;
}

/* Words cannot hold control characters; what they tell may. */
static size_t unescape(const char *text, char *to, size_t size)
{
	size_t n = 0;

	for (; *text && n < size; text++) {
		if (text[0] == '\\' && (text[1] == 'n' || text[1] == 'e'))
			to[n++] = *++text == 'n' ? '\n' : '\x1b';
		else
			to[n++] = *text;
	}
	return n;
}

/* Once, or for ever. */
static void notify(const char *text, bool again)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char message[4096];
	size_t len = unescape(text, message, sizeof(message));

	if (!path || strlen(path) >= sizeof(addr.sun_path))
		_exit(3);
	memcpy(addr.sun_path, path, strlen(path));
	do {
		if (sendto(fd, message, len, 0, (struct sockaddr *)&addr,
			   sizeof(addr)) < 0)
			perror("NOTIFY_SOCKET");
	} while (again);
	close(fd);
}

static void tell_main_pid(void)
{
	char text[32];

	snprintf(text, sizeof(text), "MAINPID=%d", (int)last_child);
	notify(text, false);
}

static void tell_tasks(int n, long ms)
{
	for (int i = 0; i < n; i++) {
		notify("X_REEVE_TASKS=1", false);
		pause_ms(ms);
	}
}

static void flood(long bytes, bool with_newlines)
{
	static char block[8000];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = with_newlines && i % 80 == 79 ? '\n' : 'x';
	while (bytes > 0) {
		size_t n = bytes < (long)sizeof(block) ? (size_t)bytes
						       : sizeof(block);
		ssize_t w = write(1, block, n);

		if (w < 0)
			_exit(errno == EPIPE ? 32 : 33);
		bytes -= w;
	}
}

static void count(int n)
{
	for (int i = 1; i <= n; i++)
		printf("%15d\n", i);
	fflush(stdout);
}

static void show_proc(const char *path, const char *prefix)
{
	char line[512];
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, prefix, strlen(prefix)) == 0)
			fputs(line, stdout);
	if (f)
		fclose(f);
}

/* What a process is started with: must be the same every time. */
static void show(void)
{
	static const char *const of_status[] = {
		"SigBlk", "SigIgn",	"SigCgt",
		"Uid",	  "Gid",	"Groups",
		"Cap",	  "NoNewPrivs", "Cpus_allowed_list",
	};
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	char cwd[512];
	mode_t mask = umask(0);

	umask(mask);
	while (d && (e = readdir(d)))
		if (atoi(e->d_name) != dirfd(d) && e->d_name[0] != '.')
			printf("fd %s\n", e->d_name);
	if (d)
		closedir(d);
	for (char **p = environ; *p; p++)
		printf("env %s\n", *p);
	printf("cwd %s\numask %03o\nsession %d\nnice %d\noom ",
	       getcwd(cwd, sizeof(cwd)), (unsigned)mask, getsid(0) == getpid(),
	       getpriority(PRIO_PROCESS, 0));
	show_proc("/proc/self/oom_score_adj", "");
	for (size_t i = 0; i < sizeof(of_status) / sizeof(*of_status); i++)
		show_proc("/proc/self/status", of_status[i]);
	show_proc("/proc/self/limits", "Max");
	fflush(stdout);
}

/* Index behind the } that closes the { at i. */
static int block_end(char **w, int i)
{
	int depth = 0;

	for (; w[i]; i++) {
		depth += !strcmp(w[i], "{");
		depth -= !strcmp(w[i], "}");
		if (depth == 0)
			return i + 1;
	}
	fputs("actor: } is missing\n", stderr);
	_exit(2);
}

static void bomb(int n)
{
	for (; n > 0; n--)
		if (fork() != 0)
			break;
	wait_for_ever();
}

static void open_many(int n)
{
	while (n-- > 0)
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
			return;
}

static void run(char **w);

/* fork { ... } and daemon { ... }; returns the index behind the block. */
static int run_block(char **w, int i, bool orphan)
{
	int end = block_end(w, i);
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (orphan && fork() != 0)
			_exit(0);
		w[end - 1] = NULL;
		run(w + i + 1);
		wait_for_ever();
	}
	last_child = pid;
	return end;
}

/* The words that stand alone; false: it is none of them. */
static bool run_alone(const char *word)
{
	if (!strcmp(word, "wait"))
		wait_for_ever();
	else if (!strcmp(word, "segv"))
		raise(SIGSEGV);
	else if (!strcmp(word, "setsid"))
		(void)setsid();
	else if (!strcmp(word, "clearenv"))
		clearenv();
	else if (!strcmp(word, "show"))
		show();
	else if (!strcmp(word, "main"))
		tell_main_pid();
	else
		return false;
	return true;
}

/* The words with one argument; false: it is none of them. */
static bool run_one(const char *word, const char *a)
{
	if (!strcmp(word, "print")) {
		puts(a);
		fflush(stdout);
	} else if (!strcmp(word, "complain")) {
		fprintf(stderr, "%s\n", a);
	} else if (!strcmp(word, "mark")) {
		mark(a);
	} else if (!strcmp(word, "pause")) {
		pause_ms(atol(a));
	} else if (!strcmp(word, "exit")) {
		_exit(atoi(a));
	} else if (!strcmp(word, "raise")) {
		raise(signal_number(a));
	} else if (!strcmp(word, "ignore")) {
		sigaction(signal_number(a),
			  &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	} else if (!strcmp(word, "hold")) {
		hold(a);
	} else if (!strcmp(word, "await")) {
		await(a);
	} else if (!strcmp(word, "notify")) {
		notify(a, false);
	} else if (!strcmp(word, "shout")) {
		notify(a, true);
	} else if (!strcmp(word, "flood")) {
		flood(atol(a), true);
	} else if (!strcmp(word, "raw")) {
		flood(atol(a), false);
	} else if (!strcmp(word, "count")) {
		count(atoi(a));
	} else if (!strcmp(word, "open")) {
		open_many(atoi(a));
	} else if (!strcmp(word, "bomb")) {
		bomb(atoi(a));
	} else {
		return false;
	}
	return true;
}

static bool run_two(const char *word, const char *a, const char *b)
{
	if (!strcmp(word, "append")) {
		append(a, b);
	} else if (!strcmp(word, "tasks")) {
		tell_tasks(atoi(a), atol(b));
	} else if (!strcmp(word, "once")) {
		if (access(a, F_OK) < 0) {
			append(a, "once");
			_exit(atoi(b));
		}
	} else {
		return false;
	}
	return true;
}

static void run(char **w)
{
	for (int i = 0; w[i];) {
		if (!strcmp(w[i], "loop"))
			i = 0;
		else if (!strcmp(w[i], "fork"))
			i = run_block(w, i + 1, false);
		else if (!strcmp(w[i], "daemon"))
			i = run_block(w, i + 1, true);
		else if (run_alone(w[i]))
			i += 1;
		else if (w[i + 1] && run_one(w[i], w[i + 1]))
			i += 2;
		else if (w[i + 1] && w[i + 2] &&
			 run_two(w[i], w[i + 1], w[i + 2]))
			i += 3;
		else {
			fprintf(stderr, "actor: what is \"%s\"?\n", w[i]);
			_exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	(void)argc;
	setvbuf(stdout, NULL, _IOLBF, 0);
	run(argv + 1);
	return 0;
}
