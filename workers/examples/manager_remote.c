/* A remote manager: a queue that programs on other machines get tasks from.
 *
 *     manager_remote serve tcp:192.0.2.1:50000 KEYFILE     on one machine
 *     manager_remote work  tcp:192.0.2.1:50000 KEYFILE     on any others
 *
 * Without arguments it does both, over TCP on this machine, and prints:
 *
 *     a wrong key: Permission denied
 *     the square of 7 is 49
 *     the square of 8 is 64
 *     a call after the server's end: Cannot send after transport endpoint shutdown
 *
 * Shows: addresses and keys. Both sides prove that they know the key, but nothing is
 * encrypted: between machines use a network that you trust, or a tunnel; and for
 * state that has to survive a machine, Redis or its like.
 */
#include <stdio.h>
#include <string.h>

#include <reeve/reeve.h>

#define KEY_MAX 64
#define WAIT	UINT64_C(10000000)

static int say(const char *what, int r)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	return 1;
}

/* Gets a number from one queue and puts its square into another. */
static int work(const char *address, const void *key, size_t key_size, int n)
{
	reeve_manager *m;
	reeve_proxy *numbers = NULL, *squares = NULL;
	int r = reeve_manager_connect(address, key, key_size, WAIT, &m);

	if (r < 0)
		return say("connect", r);
	r = reeve_proxy_open(m, REEVE_OBJECT_QUEUE, "numbers", NULL, &numbers);
	if (r >= 0)
		r = reeve_proxy_open(m, REEVE_OBJECT_QUEUE, "squares", NULL,
				     &squares);
	while (r >= 0 && n-- > 0) {
		struct reeve_any x, pair[2];

		r = reeve_proxy_queue_get(numbers, REEVE_FOREVER, &x);
		if (r < 0)
			break;
		pair[0] = x;
		pair[1] = REEVE_ANY(x.integer * x.integer);
		r = reeve_proxy_queue_put(squares, reeve_any_list(pair, 2), 0);
		if (r == 0)
			r = reeve_proxy_queue_task_done(numbers);
	}
	if (r == -ESHUTDOWN)
		r = 0; /* it is over */
	reeve_proxy_free(numbers);
	reeve_proxy_free(squares);
	reeve_manager_free(m);
	return r < 0 ? say("work", r) : 0;
}

struct there {
	const char *address;
	const void *key;
	size_t key_size;
};

static int work_there(void *arg)
{
	const struct there *t = arg;

	return work(t->address, t->key, t->key_size, 2);
}

static int hand_out(reeve_manager *m)
{
	reeve_proxy *numbers = NULL, *squares = NULL;
	int r = reeve_proxy_open(m, REEVE_OBJECT_QUEUE, "numbers", NULL,
				 &numbers);

	if (r >= 0)
		r = reeve_proxy_open(m, REEVE_OBJECT_QUEUE, "squares", NULL,
				     &squares);
	for (int i = 7; i <= 8 && r >= 0; i++)
		r = reeve_proxy_queue_put(numbers, REEVE_ANY(i), 0);
	for (int i = 7; i <= 8 && r >= 0; i++) {
		struct reeve_any pair;

		r = reeve_proxy_queue_get(squares, WAIT, &pair);
		if (r < 0)
			break;
		printf("the square of %lld is %lld\n",
		       (long long)pair.items[0].integer,
		       (long long)pair.items[1].integer);
		reeve_any_free(&pair);
	}
	reeve_proxy_free(numbers);
	reeve_proxy_free(squares);
	return r < 0 ? say("hand out", r) : 0;
}

static int serve(const char *address, const void *key, size_t key_size,
		 bool is_demo)
{
	struct reeve_manager_spec spec = { .address = address,
					   .authkey = key,
					   .authkey_size = key_size };
	struct there t = { .key = key, .key_size = key_size };
	struct reeve_process_spec worker = { .function = work_there,
					     .arg = &t };
	reeve_manager *m, *other;
	reeve_process *p = NULL;
	int r = reeve_manager_start(&spec, &m);

	if (r < 0)
		return say(address, r);
	t.address = reeve_manager_address(m);
	if (is_demo) {
		r = reeve_manager_connect(t.address, "guess", 5, WAIT, &other);
		printf("a wrong key: %s\n", strerror(-r));
		if (reeve_process_start(&worker, &p) < 0)
			return 1;
	} else {
		fprintf(stderr, "serving at %s\n", t.address);
	}
	r = hand_out(m);
	if (is_demo)
		(void)reeve_process_join(p, REEVE_FOREVER);
	reeve_process_free(p);
	(void)reeve_manager_shutdown(m);
	if (is_demo)
		printf("a call after the server's end: %s\n",
		       strerror(-reeve_manager_delete(m, "numbers")));
	reeve_manager_free(m);
	return r;
}

static size_t read_key(const char *file, char key[static KEY_MAX])
{
	FILE *f = fopen(file, "re");
	size_t n = f ? fread(key, 1, KEY_MAX, f) : 0;

	if (f)
		(void)fclose(f);
	return n;
}

int main(int argc, char **argv)
{
	char key[KEY_MAX] = "a demonstration";
	size_t size = strlen(key);

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 1)
		return serve("tcp:127.0.0.1:0", key, size, true);
	if (argc == 4)
		size = read_key(argv[3], key);
	if (argc == 4 && size > 0 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2], key, size, false);
	if (argc == 4 && size > 0 && strcmp(argv[1], "work") == 0)
		return work(argv[2], key, size, -1);
	fprintf(stderr, "usage: manager_remote [serve|work ADDRESS KEYFILE]\n");
	return 2;
}
