/* Counts lines and words of files, split over a pool: count_files [FILE...].
 * Without an argument it makes eight small files in a directory of its own, and
 * removes them at the end. Prints a line for each file, in the order of the
 * arguments, and the sums; what cannot be read is said, and costs nothing else.
 *
 * Shows: imap with a generator, which gives inputs of any size one by one, here
 * names; a task that does input and output of its own and reports an error with
 * its text; and results of which some are failures.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <reeve/pool.h>

#define N_SAMPLES 8

struct counts {
	long n_lines, n_words;
};

static int count(void *input, size_t size, struct reeve_reply *reply)
{
	const char *path = input; /* with its NUL */
	struct counts counts = { 0, 0 };
	int c, before = '\n';
	FILE *f = fopen(path, "re");

	(void)size;
	if (!f)
		return reeve_reply_error(reply, -errno, "%s: %s", path,
					 strerror(errno));
	while ((c = getc(f)) != EOF) {
		counts.n_lines += c == '\n';
		counts.n_words += !isspace(c) && isspace(before);
		before = c;
	}
	c = ferror(f) ? errno : 0; /* a directory opens, but does not read */
	(void)fclose(f);
	if (c != 0)
		return reeve_reply_error(reply, -c, "%s: %s", path,
					 strerror(c));
	return reeve_reply_set(reply, &counts, sizeof(counts));
}

struct names {
	char **at;
	int n, next;
};

/* Called in this process each time that the pool has room for another task. */
static int next_name(void *userdata, const void **ret_input, size_t *ret_size)
{
	struct names *names = userdata;

	if (names->next == names->n)
		return 0;
	*ret_input = names->at[names->next];
	*ret_size = strlen(names->at[names->next]) + 1;
	names->next++;
	return 1;
}

/* Returns how many files could not be counted, or -errno. */
static int count_all(struct reeve_pool *pool, struct names *names)
{
	const struct reeve_imap_spec spec = { .generator = next_name,
					      .userdata = names };
	struct counts sum = { 0, 0 }, counts;
	struct reeve_iterator *iterator;
	struct reeve_item item;
	int r, n_bad = 0;

	r = reeve_pool_imap(pool, count, &spec, &iterator);
	if (r < 0)
		return r;
	while ((r = reeve_iterator_next(iterator, REEVE_FOREVER, &item)) > 0) {
		if (item.outcome->kind != REEVE_DONE) {
			fprintf(stderr, "%s\n", item.outcome->message);
			n_bad++;
			continue;
		}
		memcpy(&counts, item.output, sizeof(counts));
		printf("%4ld lines %6ld words  %s\n", counts.n_lines,
		       counts.n_words, names->at[item.index]);
		sum.n_lines += counts.n_lines;
		sum.n_words += counts.n_words;
	}
	printf("%4ld lines %6ld words  in all\n", sum.n_lines, sum.n_words);
	(void)reeve_iterator_free(iterator);
	return r < 0 ? r : n_bad;
}

/* File i has 10 * i lines of i words. */
static int write_sample(const char *name, int i)
{
	FILE *f = fopen(name, "we");

	if (!f)
		return -errno;
	for (int line = 0; line < 10 * i; line++)
		for (int word = 1; word <= i; word++)
			fprintf(f, "word%c", word < i ? ' ' : '\n');
	return fclose(f) == 0 ? 0 : -errno;
}

/* Makes the files in a new directory, and goes there: workers start where the
 * program is when it makes the pool. Returns 0 or -errno. */
static int make_samples(char *directory, char names[][16], char **ret_at)
{
	int r = 0;

	if (!mkdtemp(directory) || chdir(directory) < 0)
		return -errno;
	for (int i = 0; i < N_SAMPLES && r == 0; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "sample-%d", i + 1);
		ret_at[i] = names[i];
		r = write_sample(names[i], i + 1);
	}
	return r;
}

static void remove_samples(const char *directory, char names[][16])
{
	for (int i = 0; i < N_SAMPLES; i++)
		(void)unlink(names[i]);
	(void)rmdir(directory);
}

static int run(struct names *names)
{
	struct reeve_pool *pool;
	int r = reeve_pool_new(NULL, &pool); /* NULL: all by default */

	if (r < 0)
		return r;
	r = count_all(pool, names);
	(void)reeve_pool_close(pool);
	(void)reeve_pool_join(pool, REEVE_FOREVER);
	(void)reeve_pool_free(pool);
	return r;
}

int main(int argc, char **argv)
{
	char directory[] = "/tmp/count-files.XXXXXX";
	char samples[N_SAMPLES][16] = { "" }, *at[N_SAMPLES] = { NULL };
	struct names names = { .at = argv + 1, .n = argc - 1 };
	int r = 0;

	if (argc < 2) {
		names = (struct names){ .at = at, .n = N_SAMPLES };
		r = make_samples(directory, samples, at);
	}
	if (r == 0)
		r = run(&names);
	if (argc < 2)
		remove_samples(directory, samples);
	if (r < 0)
		fprintf(stderr, "count_files: %s\n", strerror(-r));
	return r == 0 ? 0 : 1;
}
