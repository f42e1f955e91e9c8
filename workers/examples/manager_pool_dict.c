/* A shared dict that a pool's workers write: each task counts the letters of a word
 * in one dict of the manager. Prints:
 *
 *     {"a": 3, "b": 1, "e": 3, "m": 1, "n": 1, "r": 1, "s": 1, "v": 1, "w": 1}
 *
 * Shows: how workers get to a manager, which is by its address and key, given to
 * the initializer (a connection is for one process and one thread); adding in one
 * step, which in Python is a lock around d[k] += 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reeve/reeve.h>

#define WORD_SIZE 8

struct where {
	char address[128];
	unsigned char key[64];
	size_t key_size;
};

static reeve_manager *manager;
static reeve_proxy *letters;

static int connect_worker(void *argument, size_t size)
{
	const struct where *w = argument;
	int r = reeve_manager_connect(w->address, w->key, w->key_size, 5000000,
				      &manager);

	(void)size;
	if (r == 0)
		r = reeve_proxy_open(manager, REEVE_OBJECT_DICT, "letters",
				     NULL, &letters);
	return r < 0 ? r : 0;
}

static int count_letters(void *input, size_t size, struct reeve_reply *reply)
{
	const char *word = input;
	int r = 0;

	(void)size, (void)reply;
	for (; *word && r >= 0; word++) {
		char letter[2] = { *word, '\0' };

		r = reeve_proxy_dict_add(letters, REEVE_ANY(letter),
					 REEVE_ANY(1), NULL);
	}
	return r < 0 ? r : 0;
}

static int where_is(struct where *w)
{
	const void *key = reeve_manager_authkey(manager, &w->key_size);

	if (strlen(reeve_manager_address(manager)) >= sizeof(w->address) ||
	    w->key_size > sizeof(w->key))
		return -1;
	(void)snprintf(w->address, sizeof(w->address), "%s",
		       reeve_manager_address(manager));
	memcpy(w->key, key, w->key_size);
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct reeve_pair *left = a, *right = b;

	return strcmp(left->key.string, right->key.string);
}

static int print_sorted(void)
{
	struct reeve_any all, sorted;
	struct reeve_pair *pairs;
	char text[256];

	if (reeve_proxy_items(letters, &all) < 0)
		return 1;
	pairs = calloc(all.n, sizeof(*pairs));
	if (pairs) {
		memcpy(pairs, all.pairs, all.n * sizeof(*pairs));
		qsort(pairs, all.n, sizeof(*pairs), by_key);
		sorted = reeve_any_dict(pairs, all.n);
		(void)reeve_any_print(&sorted, text, sizeof(text));
		puts(text);
	}
	free(pairs);
	reeve_any_free(&all);
	return pairs ? 0 : 1;
}

int main(void)
{
	static const char words[][WORD_SIZE] = { "reeve", "swan", "am", "ba" };
	struct where w;
	struct reeve_pool_spec spec = {
		.processes = 2,
		.initializer = connect_worker,
		.initializer_argument = &w,
		.initializer_size = sizeof(w),
	};
	struct reeve_map_spec items = { .inputs = words,
					.input_size = WORD_SIZE,
					.n_items = 4,
					.chunksize = 1 };
	struct reeve_pool *pool;
	int r = reeve_manager_start(NULL, &manager);

	if (r < 0 || where_is(&w) < 0 ||
	    reeve_proxy_open(manager, REEVE_OBJECT_DICT, "letters", NULL,
			     &letters) < 0 ||
	    reeve_pool_new(&spec, &pool) < 0) {
		fprintf(stderr, "no manager, or no pool\n");
		return 1;
	}
	r = (int)reeve_pool_map(pool, count_letters, &items);
	(void)reeve_pool_close(pool);
	(void)reeve_pool_join(pool, REEVE_FOREVER);
	(void)reeve_pool_free(pool);
	if (r == 0)
		r = print_sorted();
	reeve_proxy_free(letters);
	reeve_manager_free(manager);
	return r == 0 ? 0 : 1;
}
